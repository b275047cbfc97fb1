# See .cargo/config.toml: gcc does not have clang's thread safety analysis.
set(HAVE_CLANG_THREAD_SAFETY OFF CACHE INTERNAL "")
