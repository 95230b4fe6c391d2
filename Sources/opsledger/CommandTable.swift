/// Every command there is, in the order of the help. A new group of commands adds its list here.
enum CommandTable {
  static let all: [Command] =
    DemoCommand.all + DatabaseCommands.all + StartCommands.all + ConfigCommand.all
    + LoopCommands.all + EventCommands.all + ReplayCommands.all
}
