"""Everything that is kept: blocks, state, trie, in LevelDB or in memory."""
