// Loads libpq at its first use.
//
// libpq brings two dozen libraries with it (Kerberos, LDAP, TLS). To load them takes longer than most commands run: 5 of
// the 7 ms of `opsledger --help`. This file therefore defines the functions of libpq that opsledger calls. Each finds the
// real function at its first call. A later call costs one indirect jump, like any call into a shared library. A function
// that is missing below is an undefined symbol for the linker, and a wrong signature does not compile.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "../CPostgres/shim.h"

static pthread_once_t loaded = PTHREAD_ONCE_INIT;
static void *library;

// The functions of libpq have no common way to return such an error.
static void give_up(void) {
  const char *reason = dlerror();
  dprintf(2, "error OPS_001: cannot load libpq: %s\nhint: apt-get install libpq5\n",
          reason ? reason : "unknown");
  _exit(3);
}

static void load(void) {
  library = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
  if (!library) give_up();
}

static void *find(const char *name) {
  pthread_once(&loaded, load);
  void *function = dlsym(library, name);
  if (!function) give_up();
  return function;
}

#define FORWARD(result, name, parameters, arguments)                              \
  typedef result(*type_##name) parameters;                                        \
  static result first_##name parameters;                                          \
  static type_##name real_##name = first_##name;                                  \
  static result first_##name parameters {                                         \
    type_##name found = (type_##name)find(#name);                                 \
    __atomic_store_n(&real_##name, found, __ATOMIC_RELEASE);                      \
    return found arguments;                                                       \
  }                                                                               \
  __attribute__((visibility("hidden"))) result name parameters {                  \
    return __atomic_load_n(&real_##name, __ATOMIC_ACQUIRE) arguments;             \
  }

FORWARD(
    PGconn *, PQconnectStartParams,
    (const char *const *keywords, const char *const *values, int expand_dbname),
    (keywords, values, expand_dbname))
FORWARD(PostgresPollingStatusType, PQconnectPoll, (PGconn *conn), (conn))
FORWARD(void, PQfinish, (PGconn *conn), (conn))
FORWARD(
    PQconninfoOption *, PQconninfoParse,
    (const char *conninfo, char **errmsg),
    (conninfo, errmsg))
FORWARD(void, PQconninfoFree, (PQconninfoOption *connOptions), (connOptions))
FORWARD(PGcancel *, PQgetCancel, (PGconn *conn), (conn))
FORWARD(void, PQfreeCancel, (PGcancel *cancel), (cancel))
FORWARD(
    int, PQcancel,
    (PGcancel *cancel, char *errbuf, int errbufsize),
    (cancel, errbuf, errbufsize))
FORWARD(char *, PQdb, (const PGconn *conn), (conn))
FORWARD(char *, PQuser, (const PGconn *conn), (conn))
FORWARD(char *, PQhost, (const PGconn *conn), (conn))
FORWARD(char *, PQport, (const PGconn *conn), (conn))
FORWARD(ConnStatusType, PQstatus, (const PGconn *conn), (conn))
FORWARD(PGTransactionStatusType, PQtransactionStatus, (const PGconn *conn), (conn))
FORWARD(int, PQserverVersion, (const PGconn *conn), (conn))
FORWARD(char *, PQerrorMessage, (const PGconn *conn), (conn))
FORWARD(int, PQsocket, (const PGconn *conn), (conn))
FORWARD(int, PQbackendPID, (const PGconn *conn), (conn))
FORWARD(PGVerbosity, PQsetErrorVerbosity, (PGconn *conn, PGVerbosity verbosity), (conn, verbosity))
FORWARD(
    PQnoticeReceiver, PQsetNoticeReceiver,
    (PGconn *conn, PQnoticeReceiver proc, void *arg),
    (conn, proc, arg))
FORWARD(PGresult *, PQexec, (PGconn *conn, const char *query), (conn, query))
FORWARD(int, PQsendQuery, (PGconn *conn, const char *query), (conn, query))
FORWARD(
    int, PQsendQueryParams,
    (PGconn *conn, const char *command, int nParams, const Oid *paramTypes, const char *const *paramValues, const int *paramLengths, const int *paramFormats, int resultFormat),
    (conn, command, nParams, paramTypes, paramValues, paramLengths, paramFormats, resultFormat))
FORWARD(
    int, PQsendPrepare,
    (PGconn *conn, const char *stmtName, const char *query, int nParams, const Oid *paramTypes),
    (conn, stmtName, query, nParams, paramTypes))
FORWARD(
    int, PQsendQueryPrepared,
    (PGconn *conn, const char *stmtName, int nParams, const char *const *paramValues, const int *paramLengths, const int *paramFormats, int resultFormat),
    (conn, stmtName, nParams, paramValues, paramLengths, paramFormats, resultFormat))
FORWARD(int, PQsendDescribePrepared, (PGconn *conn, const char *stmt), (conn, stmt))
FORWARD(int, PQsetSingleRowMode, (PGconn *conn), (conn))
FORWARD(PGresult *, PQgetResult, (PGconn *conn), (conn))
FORWARD(int, PQisBusy, (PGconn *conn), (conn))
FORWARD(int, PQconsumeInput, (PGconn *conn), (conn))
FORWARD(int, PQenterPipelineMode, (PGconn *conn), (conn))
FORWARD(int, PQexitPipelineMode, (PGconn *conn), (conn))
FORWARD(int, PQpipelineSync, (PGconn *conn), (conn))
FORWARD(PGnotify *, PQnotifies, (PGconn *conn), (conn))
FORWARD(int, PQputCopyData, (PGconn *conn, const char *buffer, int nbytes), (conn, buffer, nbytes))
FORWARD(int, PQputCopyEnd, (PGconn *conn, const char *errormsg), (conn, errormsg))
FORWARD(int, PQgetCopyData, (PGconn *conn, char **buffer, int async), (conn, buffer, async))
FORWARD(ExecStatusType, PQresultStatus, (const PGresult *res), (res))
FORWARD(char *, PQresultErrorMessage, (const PGresult *res), (res))
FORWARD(char *, PQresultErrorField, (const PGresult *res, int fieldcode), (res, fieldcode))
FORWARD(int, PQntuples, (const PGresult *res), (res))
FORWARD(int, PQnfields, (const PGresult *res), (res))
FORWARD(int, PQnparams, (const PGresult *res), (res))
FORWARD(int, PQbinaryTuples, (const PGresult *res), (res))
FORWARD(char *, PQfname, (const PGresult *res, int field_num), (res, field_num))
FORWARD(Oid, PQftype, (const PGresult *res, int field_num), (res, field_num))
FORWARD(char *, PQcmdTuples, (PGresult *res), (res))
FORWARD(
    char *, PQgetvalue,
    (const PGresult *res, int tup_num, int field_num),
    (res, tup_num, field_num))
FORWARD(
    int, PQgetlength,
    (const PGresult *res, int tup_num, int field_num),
    (res, tup_num, field_num))
FORWARD(
    int, PQgetisnull,
    (const PGresult *res, int tup_num, int field_num),
    (res, tup_num, field_num))
FORWARD(void, PQclear, (PGresult *res), (res))
FORWARD(void, PQfreemem, (void *ptr), (ptr))
