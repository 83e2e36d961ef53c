#include "serving/invocations/model_input.h"

#include <algorithm>
#include <optional>

namespace sagebrush::serving {
namespace {

bool Fits(const Shape& shape, const Shape& wanted) {
  return shape.size() == wanted.size() &&
         std::ranges::equal(shape, wanted, [](int64_t have, int64_t want) { return want < 0 || have == want; });
}

// `wanted` with its one open dimension behind the first filled in so that a row has `row_elements`.
std::optional<Shape> RowsOf(int64_t rows, int64_t row_elements, const Shape& wanted) {
  Shape shape = wanted;
  shape[0] = rows;
  int64_t known = 1;
  std::optional<size_t> open;
  for (size_t index = 1; index < wanted.size(); ++index) {
    if (wanted[index] >= 0) {
      if (__builtin_mul_overflow(known, wanted[index], &known)) return std::nullopt;
    } else if (open) {
      return std::nullopt;
    } else {
      open = index;
    }
  }
  if (open && known > 0 && row_elements % known == 0) {
    shape[*open] = row_elements / known;
    known *= shape[*open];
  }
  return known == row_elements ? std::optional(shape) : std::nullopt;
}

}  // namespace

Result<ChosenSignature> ChooseSignature(const Servable& servable) {
  const SignatureMap& signatures = servable.signatures();
  auto found = signatures.find(kDefaultSignature);
  if (found == signatures.end() && signatures.size() == 1) found = signatures.begin();
  if (found == signatures.end()) {
    return Fail(InvalidArgument("Serving signature name: \"" + std::string(kDefaultSignature) +
                                "\" not found in signature def"));
  }
  return ChosenSignature{found->first, &found->second};
}

Shape FitShape(const Shape& natural, const TensorInfo& input) {
  if (!input.shape || Fits(natural, *input.shape) || input.shape->empty() || natural.empty()) return natural;
  const Shape& wanted = *input.shape;
  if (natural.size() + 1 == wanted.size() && (wanted[0] < 0 || wanted[0] == 1)) {
    Shape single = natural;
    single.insert(single.begin(), 1);
    if (Fits(single, wanted)) return single;
  }
  int64_t rows = natural[0];
  std::optional<int64_t> row_elements = ElementCount(std::span(natural).subspan(1));
  if (!row_elements || (wanted[0] >= 0 && wanted[0] != rows)) return natural;
  return RowsOf(rows, *row_elements, wanted).value_or(natural);
}

}  // namespace sagebrush::serving
