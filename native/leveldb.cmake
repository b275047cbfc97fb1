# See .cargo/config.toml: gcc does not have clang's thread safety analysis.
set(HAVE_CLANG_THREAD_SAFETY OFF CACHE INTERNAL "")
# All of a library in one go: its headers are read once.
set(CMAKE_UNITY_BUILD ON CACHE BOOL "")
set(CMAKE_UNITY_BUILD_BATCH_SIZE 0 CACHE STRING "")
