/// Every command, in the order of the help.
enum CommandTable {
  static let all: [Command] =
    [DemoCommand.demo] + DatabaseCommands.all
    + [StartCommands.initialise, DoctorCommand.doctor, StatusCommand.status, ConfigCommand.list]
    + LoopCommands.all + HaltCommands.all + EventCommands.all + ReactionCommands.all
    + ProposalCommands.all + MissionCommands.all + StepCommands.all + ExecutorCommands.all
    + [RadarCommands.list] + PolicyCommands.all + LogCommands.all
    + [StateCommands.at, StateDiffCommands.diff, StateDiffCommands.bisect]
    + [ReplayCommands.verify, ReplayCommands.rebuild] + ArchiveCommands.all
    + [SnapshotCommands.create, SnapshotCommands.prune, RestoreCommand.restore, DrillCommand.drill]
    + HoldCommands.all + [EraseCommand.erase] + RetentionCommands.all
}
