# GCC 12 miscompiles Asio coroutines (temporaries inside co_await are destroyed twice), so only clang is accepted.
if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang" OR CMAKE_CXX_COMPILER_VERSION VERSION_LESS 19)
  message(FATAL_ERROR "Sagebrush needs clang 19 or newer; configure with a preset: cmake --preset release")
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  # Relative paths and PCH-tolerant hashing let every checkout and build folder share one cache.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env
      CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${CCACHE_PROGRAM})
endif()
find_program(MOLD_PROGRAM mold)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options(-Wall -Wextra -Wpedantic -Wno-gnu-statement-expression -Wno-missing-field-initializers
                    -fno-omit-frame-pointer)
if(SAGEBRUSH_SANITIZE)
  add_compile_options(-fsanitize=${SAGEBRUSH_SANITIZE} -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${SAGEBRUSH_SANITIZE})
endif()
if(SAGEBRUSH_FAILPOINTS)
  add_compile_definitions(SAGEBRUSH_FAILPOINTS=1)
endif()
add_compile_definitions(BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_REGEX
                        SAGEBRUSH_VERSION="${PROJECT_VERSION}")
