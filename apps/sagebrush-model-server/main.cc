#include <cstdio>

#include "base/log.h"
#include "serving/server/autotuned.h"
#include "serving/server/model_server.h"

int main(int argc, char** argv) {
  using namespace sagebrush;
  serving::ParsedOptions parsed = serving::ParseOptions(argc, argv);
  if (!parsed.options) {
    std::fputs(parsed.message.c_str(), parsed.exit_code == 0 ? stdout : stderr);
    return parsed.exit_code;
  }
  if (parsed.options->measure) return serving::MeasureAndPrint(*parsed.options);
  Result<std::unique_ptr<serving::ModelServer>> server = serving::ModelServer::Start(*std::move(parsed.options));
  if (!server) {
    Log(LogLevel::kError, "start_failed", {{"error", server.error().message}});
    return 1;
  }
  (*server)->ServeUntilSignal();
  return 0;
}
