// This target defines functions of libpq, which libpq-fe.h declares.
#pragma once
