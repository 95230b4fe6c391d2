import Glibc
import Host

Process.prepare()
exit(Program.run(Array(CommandLine.arguments.dropFirst())))
