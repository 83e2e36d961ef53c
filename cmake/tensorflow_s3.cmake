# The s3:// file system for TensorFlow: tensorflow-s3/libsagebrush_tf_s3.so beside the programs, with the
# sitecustomize.py that registers it. It is loaded into other people's Python processes, so it brings everything it
# needs with it, hidden: position-independent copies of the few sources it uses, and static OpenSSL, zlib and libstdc++.
file(GLOB tfs3_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/tfs3/*.cc)
list(FILTER tfs3_sources EXCLUDE REGEX "_test\\.cc$")
foreach(source base/check base/clock base/error base/hash base/log base/random base/text io/file wire/canonical
               wire/sigv2 wire/sigv4 http/client http/client_stream http/message http/parser http/response_writer)
  list(APPEND tfs3_sources ${CMAKE_SOURCE_DIR}/src/${source}.cc)
endforeach()
add_library(sagebrush_tf_s3 MODULE ${tfs3_sources})
set(tfs3_directory ${CMAKE_BINARY_DIR}/tensorflow-s3)
set_target_properties(sagebrush_tf_s3 PROPERTIES
  CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON LIBRARY_OUTPUT_DIRECTORY ${tfs3_directory}
  LINK_DEPENDS ${CMAKE_SOURCE_DIR}/src/tfs3/exports.map)
target_include_directories(sagebrush_tf_s3 PRIVATE ${CMAKE_SOURCE_DIR}/src)
target_compile_definitions(sagebrush_tf_s3 PRIVATE FMT_HEADER_ONLY=1)
target_compile_options(sagebrush_tf_s3 PRIVATE -ffunction-sections -fdata-sections)
target_link_libraries(sagebrush_tf_s3 PRIVATE Boost::headers ${OPENSSL_SSL_STATIC} ${OPENSSL_CRYPTO_STATIC} ${ZLIB_STATIC}
                      Threads::Threads ${CMAKE_DL_LIBS})
target_link_options(sagebrush_tf_s3 PRIVATE -static-libstdc++ -static-libgcc -Wl,--gc-sections -Wl,--exclude-libs,ALL
                    -Wl,-Bsymbolic -Wl,--version-script=${CMAKE_SOURCE_DIR}/src/tfs3/exports.map)
if(NOT SAGEBRUSH_SANITIZE)
  target_link_options(sagebrush_tf_s3 PRIVATE -Wl,-z,defs)
endif()
add_custom_command(TARGET sagebrush_tf_s3 POST_BUILD
  COMMAND ${CMAKE_COMMAND} -E copy_if_different ${CMAKE_SOURCE_DIR}/src/tfs3/sitecustomize.py ${tfs3_directory})
