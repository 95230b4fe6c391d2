// Nothing to call: this target defines libpq's functions, declared in libpq-fe.h.
#pragma once
