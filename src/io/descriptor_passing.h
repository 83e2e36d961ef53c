#pragma once

#include <sys/types.h>

#include <span>
#include <string_view>
#include <vector>

#include "io/file.h"

namespace sagebrush::io {

inline constexpr size_t kMostPassedDescriptors = 8;  // with one message

// send(2) on a Unix socket, the descriptors going with the first of the bytes; again after EINTR, never a SIGPIPE. -1
// and errno as sendmsg(2) has them.
ssize_t SendWithDescriptors(int socket, std::string_view bytes, std::span<const int> descriptors, int flags = 0);

// recv(2) on a Unix socket; appends the descriptors that came with the bytes, `most` of them: the kernel closes those
// beyond. Again after EINTR. -1 and errno as recvmsg(2) has them.
ssize_t ReceiveWithDescriptors(int socket, std::span<char> into, size_t most, std::vector<UniqueFd>& descriptors,
                               int flags = 0);

}  // namespace sagebrush::io
