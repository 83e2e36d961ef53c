# The libFuzzer programs (preset fuzz): src/**/foo_fuzz.cc becomes foo_fuzz, all of them the target `fuzzers`. They link
# one library of only those sources that they reach, so that building them anew takes a minute: name here what a new one
# needs. Everything is watched by libFuzzer, hence built apart from the layers.
set(fuzzed
  gen/logs gen/sagemaker
  src/base/check src/base/clock src/base/error src/base/hash src/base/log src/base/text
  src/http/message src/http/parser src/http/target
  src/wire/canonical src/wire/errors src/wire/json src/wire/pattern src/wire/query src/wire/sigv2 src/wire/sigv4
  src/wire/validation
  src/serving/codec/float_text src/serving/codec/json_body src/serving/codec/json_body_check
  src/serving/codec/json_examples src/serving/codec/json_number src/serving/codec/json_print
  src/serving/codec/json_scanner src/serving/codec/json_tape src/serving/codec/tensor_reader
  src/serving/core/status
  src/serving/invocations/csv src/serving/invocations/json_forms src/serving/invocations/model_input
  src/serving/invocations/npy
  src/serving/signature/signature src/serving/signature/wire_format
  src/serving/tensor/data_type src/serving/tensor/tensor)
list(TRANSFORM fuzzed PREPEND ${CMAKE_SOURCE_DIR}/)
list(TRANSFORM fuzzed APPEND .cc)
add_library(sagebrush_fuzzed STATIC EXCLUDE_FROM_ALL ${fuzzed})
target_include_directories(sagebrush_fuzzed PUBLIC ${CMAKE_SOURCE_DIR}/src ${CMAKE_SOURCE_DIR})
target_link_libraries(sagebrush_fuzzed PUBLIC Boost::headers Boost::json PCRE2::PCRE2 pugixml::pugixml fmt::fmt
                      OpenSSL::Crypto ZLIB::ZLIB Threads::Threads)
target_compile_options(sagebrush_fuzzed PRIVATE -fsanitize=fuzzer-no-link)
sagebrush_precompile(sagebrush_fuzzed std)

add_custom_target(fuzzers)
file(GLOB_RECURSE fuzzers CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/*_fuzz.cc)
foreach(source ${fuzzers})
  get_filename_component(program ${source} NAME_WE)
  add_executable(${program} EXCLUDE_FROM_ALL ${source})
  target_link_libraries(${program} PRIVATE sagebrush_fuzzed)
  target_compile_options(${program} PRIVATE -fsanitize=fuzzer)
  target_link_options(${program} PRIVATE -fsanitize=fuzzer)
  add_dependencies(fuzzers ${program})
endforeach()
