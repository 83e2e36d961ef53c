#include "serving/config/warmup_records.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <tensorflow_serving/prediction_log.pb.h>

#include "base/hash.h"
#include "io/file.h"
#include "serving/grpc/example_protos.h"
#include "serving/grpc/tensor_proto.h"

namespace sagebrush::serving {
namespace {

namespace api = ::tensorflow::serving;

constexpr char kFile[] = "assets.extra/tf_serving_warmup_requests";
constexpr size_t kLengthBytes = 8, kChecksumBytes = 4;

uint64_t LittleEndian(std::string_view bytes) {
  uint64_t value = 0;
  for (size_t index = bytes.size(); index-- > 0;) value = value << 8 | static_cast<uint8_t>(bytes[index]);
  return value;
}

// Whether `bytes` end in the masked CRC-32C of those before. Source: tensorflow/core/lib/io/record_writer.h.
bool ChecksumHolds(std::string_view bytes) {
  uint32_t crc = Crc32c(bytes.substr(0, bytes.size() - kChecksumBytes));
  uint32_t masked = ((crc >> 15) | (crc << 17)) + 0xa282ead8U;
  return LittleEndian(bytes.substr(bytes.size() - kChecksumBytes)) == masked;
}

// Length, checksum of it, data, checksum of that; again and again.
class RecordReader {
 public:
  static Result<RecordReader> Open(const std::filesystem::path& file) {
    RecordReader reader;
    TRY(reader.fd_, io::Open(file, O_RDONLY));
    struct stat facts{};
    if (::fstat(reader.fd_.get(), &facts) != 0) return Fail(FromErrno(errno, file.native()));
    reader.size_ = static_cast<uint64_t>(facts.st_size);
    return reader;
  }

  uint64_t offset() const { return offset_; }
  bool at_end() const { return offset_ == size_; }

  Result<std::string> Next() {
    TRY(std::string header, Take(kLengthBytes + kChecksumBytes, "length"));
    TRY(std::string data,
        Take(LittleEndian(std::string_view(header).substr(0, kLengthBytes)) + kChecksumBytes, "data"));
    data.resize(data.size() - kChecksumBytes);
    return data;
  }

 private:
  // `bytes` of the file, of which the last four are the checksum of the others.
  Result<std::string> Take(uint64_t bytes, std::string_view what) {
    if (bytes < kChecksumBytes || bytes > size_ - offset_) return Fail(Damaged(what, "is cut short"));
    TRY(std::string taken, io::ReadAt(fd_.get(), offset_, bytes));
    if (taken.size() != bytes) return Fail(Damaged(what, "is cut short"));
    if (!ChecksumHolds(taken)) return Fail(Damaged(what, "does not match its checksum"));
    offset_ += bytes;
    return taken;
  }

  static Error Damaged(std::string_view what, std::string_view how) {
    return {ErrorKind::kDataLoss,
            fmt::format("the record's {} {}. Please verify your warmup data is in TFRecord format.", what, how)};
  }

  io::UniqueFd fd_;
  uint64_t size_ = 0, offset_ = 0;
};

std::string SignatureNameOf(const api::ModelSpec& spec) {
  return spec.signature_name().empty() ? std::string(kDefaultSignature) : spec.signature_name();
}

Result<WarmupCall> PredictCall(const api::PredictRequest& request) {
  WarmupCall call{SignatureNameOf(request.model_spec()), {}, {}};
  for (const auto& [alias, proto] : request.inputs()) {
    Result<Tensor> tensor = TensorFromProto(proto);
    if (!tensor) return Fail(std::move(tensor).error().Because("input " + alias));
    call.inputs.emplace(alias, *std::move(tensor));
  }
  call.outputs.assign(request.output_filter().begin(), request.output_filter().end());
  return call;
}

Result<WarmupCall> ExampleCall(const api::ModelSpec& spec, const api::Input& input) {
  TRY(Tensor examples, ExamplesOf(input));
  return WarmupCall{SignatureNameOf(spec), {{"inputs", std::move(examples)}}, {}};
}

Result<void> AppendCalls(const api::PredictionLog& log, std::vector<WarmupCall>& calls) {
  switch (log.log_type_case()) {
    case api::PredictionLog::kPredictLog: {
      TRY(WarmupCall call, PredictCall(log.predict_log().request()));
      calls.push_back(std::move(call));
      return {};
    }
    case api::PredictionLog::kClassifyLog: {
      const auto& request = log.classify_log().request();
      TRY(WarmupCall call, ExampleCall(request.model_spec(), request.input()));
      calls.push_back(std::move(call));
      return {};
    }
    case api::PredictionLog::kRegressLog: {
      const auto& request = log.regress_log().request();
      TRY(WarmupCall call, ExampleCall(request.model_spec(), request.input()));
      calls.push_back(std::move(call));
      return {};
    }
    case api::PredictionLog::kMultiInferenceLog:
      for (const auto& task : log.multi_inference_log().request().tasks()) {
        TRY(WarmupCall call, ExampleCall(task.model_spec(), log.multi_inference_log().request().input()));
        calls.push_back(std::move(call));
      }
      return {};
    case api::PredictionLog::kSessionRunLog:
      return Fail(Unsupported("a session_run_log cannot be replayed: record a predict_log"));
    case api::PredictionLog::kPredictStreamedLog:
      return Fail(Unsupported("a predict_streamed_log cannot be replayed: record a predict_log"));
    case api::PredictionLog::LOG_TYPE_NOT_SET:
      break;
  }
  return Fail(InvalidArgument("the record is no PredictionLog with a request"));
}

Result<void> AppendRecord(RecordReader& reader, std::vector<WarmupCall>& calls) {
  TRY(std::string record, reader.Next());
  api::PredictionLog log;
  if (!log.ParseFromString(record)) return Fail(InvalidArgument("the record is no PredictionLog"));
  return AppendCalls(log, calls);
}

}  // namespace

Result<std::vector<WarmupCall>> ReadWarmupCalls(const std::filesystem::path& version_directory) {
  std::filesystem::path file = version_directory / kFile;
  std::vector<WarmupCall> calls;
  Result<RecordReader> reader = RecordReader::Open(file);
  if (!reader && reader.error().kind == ErrorKind::kNotFound) return calls;
  if (!reader) return Fail(std::move(reader).error());
  for (size_t number = 1; !reader->at_end(); ++number) {
    uint64_t offset = reader->offset();
    Result<void> appended;
    if (number > kMostWarmupRecords) {
      appended =
          Fail(InvalidArgument(fmt::format("Number of warmup records exceeds the maximum ({})", kMostWarmupRecords)));
    } else {
      appended = AppendRecord(*reader, calls);
    }
    if (!appended) {
      return Fail(
          std::move(appended).error().Because(fmt::format("{}: record {} at byte {}", file.native(), number, offset)));
    }
  }
  return calls;
}

}  // namespace sagebrush::serving
