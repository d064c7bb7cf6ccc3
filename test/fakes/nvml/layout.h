// Values at offsets of structures whose layout differs by driver generation.
#pragma once

#include <cstddef>
#include <cstring>

namespace fake {

template <typename T>
void Put(void* base, size_t offset, T value) {
  std::memcpy(static_cast<char*>(base) + offset, &value, sizeof(value));
}

template <typename T>
T Get(const void* base, size_t offset) {
  T value;
  std::memcpy(&value, static_cast<const char*>(base) + offset, sizeof(value));
  return value;
}

}  // namespace fake
