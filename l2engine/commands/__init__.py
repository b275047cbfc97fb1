"""The subcommands, one module each: `add_arguments(parser)` and `run(args)`, which gives the exit status."""
