// Clears a list of work after it was run, also if a part of it throws.
#pragma once

#include <vector>

namespace wsserver::detail {

/// Clears `all` at the end of its scope, so that an exception does not cause a second run. `all` must outlive it.
template <class T>
class ClearAtEnd {
   public:
    explicit ClearAtEnd(std::vector<T>& all) noexcept : all_(all) {}
    ClearAtEnd(const ClearAtEnd&) = delete;
    ClearAtEnd& operator=(const ClearAtEnd&) = delete;
    ~ClearAtEnd() { all_.clear(); }

   private:
    std::vector<T>& all_;
};

}  // namespace wsserver::detail
