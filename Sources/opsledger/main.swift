print("opsledger")
