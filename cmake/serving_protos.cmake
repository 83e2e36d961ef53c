# The library serving_protos: proto/**/*.proto, generated into the build directory, with gRPC, Protocol Buffers and what
# they stand on, all from archives (model_server.cmake says why). Include <tensorflow_serving/prediction.pb.h>.
find_program(PROTOC protoc REQUIRED)
find_program(GRPC_CPP_PLUGIN grpc_cpp_plugin REQUIRED)
pkg_check_modules(GRPC REQUIRED grpc++ protobuf)

set(generated_dir ${CMAKE_BINARY_DIR}/proto)
file(MAKE_DIRECTORY ${generated_dir})
file(GLOB_RECURSE protos CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/proto/*.proto)
set(generated_sources)
foreach(proto ${protos})
  file(RELATIVE_PATH name ${CMAKE_SOURCE_DIR}/proto ${proto})
  string(REGEX REPLACE "\\.proto$" "" stem ${generated_dir}/${name})
  set(outputs ${stem}.pb.cc ${stem}.pb.h)
  set(grpc_arguments)
  if(name MATCHES "_service\\.proto$")
    list(APPEND outputs ${stem}.grpc.pb.cc ${stem}.grpc.pb.h)
    set(grpc_arguments --plugin=protoc-gen-grpc=${GRPC_CPP_PLUGIN} --grpc_out=${generated_dir})
  endif()
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND ${PROTOC} -I${CMAKE_SOURCE_DIR}/proto --cpp_out=${generated_dir} ${grpc_arguments} ${name}
    DEPENDS ${protos}
    COMMENT "Generating C++ from proto/${name}"
    VERBATIM)
  list(APPEND generated_sources ${outputs})
endforeach()

# pkg-config names every archive, some of them many times; those of the system are left to the linker's own search.
set(grpc_archives)
list(REMOVE_DUPLICATES GRPC_STATIC_LIBRARIES)
list(REMOVE_ITEM GRPC_STATIC_LIBRARIES ssl crypto z dl pthread rt atomic)
foreach(library ${GRPC_STATIC_LIBRARIES})
  find_library(archive_${library} lib${library}.a REQUIRED)
  mark_as_advanced(archive_${library})
  list(APPEND grpc_archives ${archive_${library}})
endforeach()

set(SERVING_ARCHIVES ${grpc_archives})
add_library(serving_protos STATIC ${generated_sources})
target_include_directories(serving_protos SYSTEM PUBLIC ${generated_dir})
target_compile_options(serving_protos PRIVATE -w)
list(JOIN grpc_archives "," grpc_archives)
target_link_libraries(serving_protos PUBLIC "$<LINK_GROUP:RESCAN,${grpc_archives}>" ssl_library crypto_library
                                            zlib_library Threads::Threads ${CMAKE_DL_LIBS} rt)
