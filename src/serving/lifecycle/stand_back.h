#pragma once

namespace sagebrush::serving {

// Makes the calling thread, for good, one that gives way: a thread that answers requests takes the core from it the
// moment it wakes up, and gets nine tenths of a core that both want. Threads that it makes inherit this. Does nothing
// where the system does not allow it.
void StandBack();

}  // namespace sagebrush::serving
