// The command `ssh` of instances: agent/ssh_command.h.

#include "agent/ssh_command.h"

int main(int argc, char** argv) { return sagebrush::agent::RunSsh(argc, argv); }
