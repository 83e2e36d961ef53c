#pragma once

#include <expected>
#include <utility>

#include "base/error.h"

namespace sagebrush {

template <class T = void>
using Result = std::expected<T, Error>;

using Fail = std::unexpected<Error>;

}  // namespace sagebrush

#define SAGEBRUSH_CONCAT_(a, b) a##b
#define SAGEBRUSH_CONCAT(a, b) SAGEBRUSH_CONCAT_(a, b)
#define SAGEBRUSH_TRY_(ret, tmp, decl, ...)                \
  auto&& tmp = (__VA_ARGS__);                              \
  if (!tmp) ret ::sagebrush::Fail(std::move(tmp).error()); \
  decl = *std::move(tmp)
#define SAGEBRUSH_TRYV_(ret, tmp, ...) \
  if (auto&& tmp = (__VA_ARGS__); !tmp) ret ::sagebrush::Fail(std::move(tmp).error())

// TRY(auto x, F()): x = F()'s value, or return its error. TRYV(F()) for Result<>. CO_ forms inside coroutines.
#define TRY(decl, ...) SAGEBRUSH_TRY_(return, SAGEBRUSH_CONCAT(try_, __COUNTER__), decl, __VA_ARGS__)
#define TRYV(...) SAGEBRUSH_TRYV_(return, SAGEBRUSH_CONCAT(try_, __COUNTER__), __VA_ARGS__)
#define CO_TRY(decl, ...) SAGEBRUSH_TRY_(co_return, SAGEBRUSH_CONCAT(try_, __COUNTER__), decl, __VA_ARGS__)
#define CO_TRYV(...) SAGEBRUSH_TRYV_(co_return, SAGEBRUSH_CONCAT(try_, __COUNTER__), __VA_ARGS__)
