#include "serving/config/config_files.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <tensorflow_serving/text_config.pb.h>

#include "io/file.h"
#include "serving/config/model_config_proto.h"

namespace sagebrush::serving {
namespace {

namespace api = ::tensorflow::serving;
using ::google::protobuf::TextFormat;

// Lines and columns count from 0 in Protocol Buffers, and from 1 for people.
class FirstError final : public ::google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (!text_.empty()) return;
    text_ = line < 0 ? message : fmt::format("{}:{}: {}", line + 1, column + 1, message);
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_;
};

template <class Proto>
Result<Proto> ParseFile(const std::filesystem::path& file, TextFormat::ParseInfoTree* locations = nullptr) {
  TRY(std::string text, io::ReadFile(file));
  Proto proto;
  FirstError first_error;
  TextFormat::Parser parser;
  parser.RecordErrorsTo(&first_error);
  parser.WriteLocationsTo(locations);
  if (!parser.ParseFromString(text, &proto)) {
    return Fail(InvalidArgument(fmt::format("{}:{}", file.native(), first_error.text())));
  }
  return proto;
}

// A wrapped number, where it is there, into `to`.
template <class Number>
Result<void> TakeNumber(std::string_view name, bool given, int64_t value, int64_t least, Number& to) {
  if (!given) return {};
  if (value < least) return Fail(InvalidArgument(fmt::format("{} is {}, less than {}", name, value, least)));
  to = static_cast<Number>(value);
  return {};
}

Result<void> TakeAllowedSizes(const api::BatchingParameters& proto, BatchingParameters& parameters) {
  if (proto.allowed_batch_sizes().empty()) return {};
  int64_t last = 0;
  for (int64_t size : proto.allowed_batch_sizes()) {
    if (size <= last) return Fail(InvalidArgument("allowed_batch_sizes entries must be positive and ascending"));
    parameters.allowed_batch_sizes.push_back(static_cast<size_t>(last = size));
  }
  bool splitting = parameters.enable_large_batch_splitting && parameters.max_execution_batch_size != 0;
  if (!splitting && !proto.has_max_batch_size()) parameters.max_batch_size = static_cast<size_t>(last);
  size_t most = splitting ? parameters.max_execution_batch_size : parameters.max_batch_size;
  if (static_cast<size_t>(last) != most) {
    return Fail(InvalidArgument(fmt::format("the last of allowed_batch_sizes, {}, must be {}, {}", last,
                                            splitting ? "max_execution_batch_size" : "max_batch_size", most)));
  }
  return {};
}

Result<BatchingParameters> BatchingFromProto(const api::BatchingParameters& proto) {
  BatchingParameters parameters;
  int64_t timeout_micros = parameters.batch_timeout.count();
  TRYV(TakeNumber("max_batch_size", proto.has_max_batch_size(), proto.max_batch_size().value(), 1,
                  parameters.max_batch_size));
  TRYV(TakeNumber("batch_timeout_micros", proto.has_batch_timeout_micros(), proto.batch_timeout_micros().value(), 0,
                  timeout_micros));
  TRYV(TakeNumber("max_enqueued_batches", proto.has_max_enqueued_batches(), proto.max_enqueued_batches().value(), 1,
                  parameters.max_enqueued_batches));
  TRYV(TakeNumber("num_batch_threads", proto.has_num_batch_threads(), proto.num_batch_threads().value(), 1,
                  parameters.num_batch_threads));
  TRYV(TakeNumber("max_execution_batch_size", proto.has_max_execution_batch_size(),
                  proto.max_execution_batch_size().value(), 1, parameters.max_execution_batch_size));
  parameters.batch_timeout = std::chrono::microseconds(timeout_micros);
  parameters.pad_variable_length_inputs = proto.pad_variable_length_inputs();
  parameters.enable_large_batch_splitting = proto.enable_large_batch_splitting().value();
  if (parameters.max_execution_batch_size > parameters.max_batch_size) {
    return Fail(InvalidArgument("max_execution_batch_size is more than max_batch_size"));
  }
  parameters.refuse_larger_requests = true;
  TRYV(TakeAllowedSizes(proto, parameters));
  return parameters;
}

}  // namespace

Result<std::vector<ModelConfig>> ReadModelConfigFile(const std::filesystem::path& file) {
  TextFormat::ParseInfoTree locations;
  TRY(api::ModelServerConfig proto, ParseFile<api::ModelServerConfig>(file, &locations));
  auto place = [&](int index) {
    const auto* list =
        api::ModelServerConfig::descriptor()->FindFieldByNumber(api::ModelServerConfig::kModelConfigListFieldNumber);
    const auto* config =
        api::ModelConfigList::descriptor()->FindFieldByNumber(api::ModelConfigList::kConfigFieldNumber);
    TextFormat::ParseInfoTree* inside = locations.GetTreeForNested(list, -1);
    int line = inside == nullptr ? -1 : inside->GetLocation(config, index).line;
    return line < 0 ? file.native() : fmt::format("{}:{}", file.native(), line + 1);
  };
  Result<std::vector<ModelConfig>> configs = ModelConfigsFromProto(proto, place);
  // An error about an entry has named its place already.
  if (!configs && !proto.has_model_config_list()) return Fail(std::move(configs).error().Because(file.native()));
  return configs;
}

Result<BatchingParameters> ReadBatchingParametersFile(const std::filesystem::path& file) {
  TRY(api::BatchingParameters proto, ParseFile<api::BatchingParameters>(file));
  Result<BatchingParameters> parameters = BatchingFromProto(proto);
  if (!parameters) return Fail(std::move(parameters).error().Because(file.native()));
  return parameters;
}

Result<MonitoringConfig> ReadMonitoringConfigFile(const std::filesystem::path& file) {
  TRY(api::MonitoringConfig proto, ParseFile<api::MonitoringConfig>(file));
  MonitoringConfig config{.prometheus_enabled = proto.prometheus_config().enable()};
  if (const std::string& path = proto.prometheus_config().path(); !path.empty()) {
    if (!path.starts_with('/')) {
      return Fail(InvalidArgument(file.native() + ": prometheus_config.path \"" + path + "\" must begin with /"));
    }
    config.prometheus_path = path;
  }
  return config;
}

}  // namespace sagebrush::serving
