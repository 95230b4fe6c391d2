import Glibc
import Host

Process.prepare()
exit(Program.run(CommandLine.argc, CommandLine.unsafeArgv))
