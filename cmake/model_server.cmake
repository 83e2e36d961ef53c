# sagebrush-model-server opens TensorFlow's library, which exports its own protobuf, gRPC, Abseil, BoringSSL and zlib.
# So whatever of these the program itself uses is linked from archives and hidden: nothing of it may bind to TensorFlow's
# copy, nor the other way round. (With the shared libraries the process aborts at start; -rdynamic would undo it.)
function(sagebrush_hosts_tensorflow target)
  set_target_properties(${target} PROPERTIES SAGEBRUSH_STATIC_CRYPTO ON)
  set(hidden ALL)
  if(SAGEBRUSH_SANITIZE)
    # Not a sanitizer's runtime, which is an archive too: shared libraries must find its malloc and operator new, or
    # memory that one of them allocated is freed by the other.
    set(hidden ${SERVING_ARCHIVES} ${OPENSSL_SSL_STATIC} ${OPENSSL_CRYPTO_STATIC} ${ZLIB_STATIC} libserving_protos.a)
    list(TRANSFORM hidden REPLACE ".*/" "")
  endif()
  list(TRANSFORM hidden PREPEND -Wl,--exclude-libs,)  # one option each: mold 1.10 never gets to the end of a list
  target_link_options(${target} PRIVATE ${hidden})
endfunction()

add_executable(sagebrush-model-server apps/sagebrush-model-server/main.cc)
target_link_libraries(sagebrush-model-server PRIVATE sagebrush_serving)
sagebrush_hosts_tensorflow(sagebrush-model-server)
if(TARGET serving_test)
  sagebrush_hosts_tensorflow(serving_test)
endif()

# The Python side of handlers travels in the program.
set(worker_script ${CMAKE_SOURCE_DIR}/src/serving/handlers/sagebrush_handler_worker.py)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${worker_script})
file(READ ${worker_script} SAGEBRUSH_WORKER_SOURCE)
configure_file(${CMAKE_CURRENT_LIST_DIR}/worker_source.cc.in ${CMAKE_BINARY_DIR}/worker_source.cc @ONLY)
target_sources(sagebrush_serving PRIVATE ${CMAKE_BINARY_DIR}/worker_source.cc)
