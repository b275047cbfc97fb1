"""The database: blocks, state and tries, in LevelDB or in memory."""
