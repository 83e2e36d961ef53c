#include <iostream>

#include "cli/app.h"
#include "cli/driver_requirements.h"

int main(int argc, char** argv) {
  using namespace sagebrush;
  cli::Terminal terminal(std::cout, std::cerr, cli::Terminal::DetectTraits());
  return cli::Main(argc, argv, terminal, {.serve = cli::RunServe, .driver_requirements = cli::DriverRequirements});
}
