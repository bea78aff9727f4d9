// Work that is taken out of a list as a whole.
#pragma once

#include <vector>

namespace wsserver::detail {

/// Nothing is done twice though something in it throws.
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
