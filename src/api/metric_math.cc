#include "api/metric_math.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>
#include <variant>
#include <vector>

#include "api/metric_statistics.h"

namespace sagebrush::api {
namespace {

using Value = std::variant<double, TimeSeries>;
using Combine = double (*)(double, double);

constexpr int kMostNested = 64;

bool IsIdCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

void DropUnreal(TimeSeries& series) {
  std::erase_if(series.values, [](const auto& entry) { return !std::isfinite(entry.second); });
}

Value Combined(const Value& left, const Value& right, Combine combine) {
  const auto* left_series = std::get_if<TimeSeries>(&left);
  const auto* right_series = std::get_if<TimeSeries>(&right);
  if (left_series == nullptr && right_series == nullptr) {
    return combine(std::get<double>(left), std::get<double>(right));
  }
  TimeSeries out;
  out.period_s = left_series != nullptr ? left_series->period_s : right_series->period_s;
  if (left_series == nullptr) {
    for (auto [at, value] : right_series->values) out.values[at] = combine(std::get<double>(left), value);
  } else if (right_series == nullptr) {
    for (auto [at, value] : left_series->values) out.values[at] = combine(value, std::get<double>(right));
  } else {
    for (auto [at, value] : left_series->values) {
      auto other = right_series->values.find(at);
      if (other != right_series->values.end()) out.values[at] = combine(value, other->second);
    }
  }
  DropUnreal(out);
  return out;
}

Value Applied(const Value& value, double (*function)(double)) {
  if (const double* number = std::get_if<double>(&value)) return function(*number);
  TimeSeries out = std::get<TimeSeries>(value);
  for (auto& [at, number] : out.values) number = function(number);
  return out;
}

// Recursive descent; evaluates as it reads.
class Parser {
 public:
  Parser(std::string_view text, const std::function<Result<TimeSeries>(const std::string&)>& find)
      : text_(text), find_(find) {}

  Result<Value> Whole() {
    TRY(Value value, Sum());
    if (Peek() != '\0') return Fail(Unexpected());
    return value;
  }

 private:
  char Peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  bool Take(char c) {
    if (Peek() != c) return false;
    ++at_;
    return true;
  }
  Error Unexpected() {
    return InvalidValue(fmt::format("The expression '{}' is not understood at character {}.", text_, at_ + 1));
  }

  Result<Value> Sum() {
    TRY(Value value, Product());
    while (true) {
      Combine combine = nullptr;
      if (Take('+')) combine = [](double a, double b) { return a + b; };
      if (combine == nullptr && Take('-')) combine = [](double a, double b) { return a - b; };
      if (combine == nullptr) return value;
      TRY(Value right, Product());
      value = Combined(value, right, combine);
    }
  }

  Result<Value> Product() {
    TRY(Value value, Signed());
    while (true) {
      Combine combine = nullptr;
      if (Take('*')) combine = [](double a, double b) { return a * b; };
      if (combine == nullptr && Take('/')) combine = [](double a, double b) { return a / b; };
      if (combine == nullptr) return value;
      TRY(Value right, Signed());
      value = Combined(value, right, combine);
    }
  }

  Result<Value> Signed() {
    bool negative = false;
    while (Take('-')) negative = !negative;
    TRY(Value value, Power());
    return negative ? Applied(value, [](double number) { return -number; }) : value;
  }

  Result<Value> Power() {
    TRY(Value base, Operand());
    if (!Take('^')) return base;
    TRY(Value exponent, Operand());
    return Combined(base, exponent, [](double a, double b) { return std::pow(a, b); });
  }

  Result<Value> Operand() {
    char c = Peek();
    if (c == '(') {
      if (++nested_ > kMostNested) return Fail(InvalidValue("The expression is nested too deeply."));
      ++at_;
      TRY(Value value, Sum());
      if (!Take(')')) return Fail(Unexpected());
      --nested_;
      return value;
    }
    if ((c >= '0' && c <= '9') || c == '.') return Number();
    if (IsIdCharacter(c)) return Named();
    return Fail(Unexpected());
  }

  Result<Value> Number() {
    double number = 0;
    auto [end, error] = std::from_chars(text_.data() + at_, text_.data() + text_.size(), number);
    if (error != std::errc()) return Fail(Unexpected());
    at_ = static_cast<size_t>(end - text_.data());
    return number;
  }

  Result<Value> Named() {
    size_t begin = at_;
    while (at_ < text_.size() && IsIdCharacter(text_[at_])) ++at_;
    std::string name(text_.substr(begin, at_ - begin));
    if (Peek() == '(') return Function(name);
    TRY(TimeSeries series, find_(name));
    return series;
  }

  Result<Value> Function(const std::string& name) {
    // Before its arguments are looked at: those of other functions have forms of their own.
    constexpr std::string_view kFunctions[] = {"ABS", "CEIL", "FLOOR", "FILL", "PERIOD"};
    if (std::ranges::find(kFunctions, name) == std::end(kFunctions)) {
      return Fail(
          InvalidValue(fmt::format("The function {} of metric math is not supported by Sagebrush: use + - * / "
                                   "^, ABS, CEIL, FLOOR, FILL and PERIOD.",
                                   name)));
    }
    if (++nested_ > kMostNested) return Fail(InvalidValue("The expression is nested too deeply."));
    Take('(');
    std::vector<Value> arguments;
    do {
      TRY(Value argument, Sum());
      arguments.push_back(std::move(argument));
    } while (Take(','));
    if (!Take(')')) return Fail(Unexpected());
    --nested_;
    return Apply(name, arguments);
  }

  Result<Value> Apply(const std::string& name, const std::vector<Value>& arguments) {
    if (arguments.size() != (name == "FILL" ? 2 : 1)) {
      return Fail(InvalidValue(fmt::format("The function {} takes another number of arguments.", name)));
    }
    if (name == "ABS") return Applied(arguments[0], [](double number) { return std::fabs(number); });
    if (name == "CEIL") return Applied(arguments[0], [](double number) { return std::ceil(number); });
    if (name == "FLOOR") return Applied(arguments[0], [](double number) { return std::floor(number); });
    const auto* series = std::get_if<TimeSeries>(&arguments[0]);
    if (series == nullptr) return Fail(InvalidValue(fmt::format("The first argument of {} must be a metric.", name)));
    if (name == "PERIOD") return static_cast<double>(series->period_s);
    const double* filler = std::get_if<double>(&arguments[1]);
    if (filler == nullptr) return Fail(InvalidValue("The second argument of FILL must be a number here."));
    return Filled(*series, *filler);
  }

  // Between the first and the last value that there are.
  static Value Filled(TimeSeries series, double filler) {
    if (series.values.empty()) return series;
    int64_t last = series.values.rbegin()->first, step = series.period_s * 1000;
    for (int64_t at = series.values.begin()->first; at < last; at += step) series.values.try_emplace(at, filler);
    return series;
  }

  std::string_view text_;
  const std::function<Result<TimeSeries>(const std::string&)>& find_;
  size_t at_ = 0;
  int nested_ = 0;
};

}  // namespace

Result<TimeSeries> EvaluateMetricMath(std::string_view expression,
                                      const std::function<Result<TimeSeries>(const std::string& id)>& find) {
  TRY(Value value, Parser(expression, find).Whole());
  if (auto* series = std::get_if<TimeSeries>(&value)) return std::move(*series);
  return Fail(InvalidValue(fmt::format("The expression '{}' names no metric: its value is one number.", expression)));
}

}  // namespace sagebrush::api
