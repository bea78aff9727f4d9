// Predictable masking keys for tests.
#pragma once

#include "wsserver/protocol/protocol.hpp"

namespace wsserver::test {

/// Each key is the last one plus 01010101.
class CountingKeys final : public MaskingKeySource {
   public:
    MaskingKey next_key() noexcept override {
        for (auto& byte : key_) ++byte;
        return key_;
    }

   private:
    MaskingKey key_{0x10, 0x20, 0x30, 0x40};
};

}  // namespace wsserver::test
