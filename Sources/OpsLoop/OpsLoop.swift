// OpsLoop
