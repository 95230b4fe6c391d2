/// Every command there is, in the order of the help. A new group of commands adds its list here.
enum CommandTable {
  static let all: [Command] =
    DemoCommand.all + DatabaseCommands.all + StartCommands.all + DoctorCommand.all
    + StatusCommand.all
    + ConfigCommand.all + LoopCommands.all + HaltCommands.all + EventCommands.all
    + ReactionCommands.all + ProposalCommands.all
    + MissionCommands.all + StepCommands.all + ExecutorCommands.all + RadarCommands.all
    + PolicyCommands.all
    + LogCommands.all + StateCommands.all + StateDiffCommands.all + ReplayCommands.all
    + ArchiveCommands.all + SnapshotCommands.all + RestoreCommand.all + DrillCommand.all
    + HoldCommands.all + EraseCommand.all + RetentionCommands.all
}
