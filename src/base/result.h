// Result<T>: a value or an Error; the one way a function of ours says that it failed.
//
// A thin [[nodiscard]] class over tl::expected, so that moving to std::expected touches this file
// only.
//   TRY(auto file, Open(path));            in functions     CHECK_OK(Sync(file));
//   CO_TRY(auto hit, co_await Load(key));  in coroutines    CO_CHECK(co_await Flush());
#pragma once

#include <tl/expected.hpp>
#include <type_traits>
#include <utility>

#include "base/error.h"

namespace vr {

template <class T>
class [[nodiscard]] Result {
 public:
  using value_type = T;
  Result(T value) : impl_(std::move(value)) {}                    // NOLINT: implicit on purpose
  Result(Error error) : impl_(tl::unexpect, std::move(error)) {}  // NOLINT: implicit on purpose
  template <class U>
    requires(std::is_convertible_v<U &&, T> && !std::is_same_v<std::remove_cvref_t<U>, T> &&
             !std::is_same_v<std::remove_cvref_t<U>, Error> &&
             !std::is_same_v<std::remove_cvref_t<U>, Result<T>>)
  Result(U&& value) : impl_(T(std::forward<U>(value))) {}  // NOLINT: implicit on purpose

  bool ok() const { return impl_.has_value(); }
  explicit operator bool() const { return ok(); }
  T& value() & { return *impl_; }
  const T& value() const& { return *impl_; }
  T&& value() && { return *std::move(impl_); }
  T& operator*() & { return *impl_; }
  const T& operator*() const& { return *impl_; }
  T&& operator*() && { return *std::move(impl_); }
  T* operator->() { return &*impl_; }
  const T* operator->() const { return &*impl_; }
  Error& error() & { return impl_.error(); }
  const Error& error() const& { return impl_.error(); }
  Error&& error() && { return std::move(impl_).error(); }

 private:
  tl::expected<T, Error> impl_;
};

template <>
class [[nodiscard]] Result<void> {
 public:
  using value_type = void;
  Result() = default;
  Result(Error error) : impl_(tl::unexpect, std::move(error)) {}  // NOLINT: implicit on purpose
  bool ok() const { return impl_.has_value(); }
  explicit operator bool() const { return ok(); }
  Error& error() & { return impl_.error(); }
  const Error& error() const& { return impl_.error(); }
  Error&& error() && { return std::move(impl_).error(); }

 private:
  tl::expected<void, Error> impl_;
};

}  // namespace vr

#define VR_JOIN2(a, b) a##b
#define VR_JOIN(a, b) VR_JOIN2(a, b)
#define VR_TRY_IMPL(tmp, ret, decl, ...)     \
  auto tmp = (__VA_ARGS__);                  \
  if (!tmp.ok()) ret std::move(tmp).error(); \
  decl = std::move(tmp).value()
#define VR_CHECK_IMPL(tmp, ret, ...)           \
  do {                                         \
    auto tmp = (__VA_ARGS__);                  \
    if (!tmp.ok()) ret std::move(tmp).error(); \
  } while (false)

#define TRY(decl, ...) VR_TRY_IMPL(VR_JOIN(vr_try_, __LINE__), return, decl, __VA_ARGS__)
#define CO_TRY(decl, ...) VR_TRY_IMPL(VR_JOIN(vr_try_, __LINE__), co_return, decl, __VA_ARGS__)
#define CHECK_OK(...) VR_CHECK_IMPL(VR_JOIN(vr_try_, __LINE__), return, __VA_ARGS__)
#define CO_CHECK(...) VR_CHECK_IMPL(VR_JOIN(vr_try_, __LINE__), co_return, __VA_ARGS__)
