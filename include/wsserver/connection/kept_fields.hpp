// The header fields of the opening handshake that a connection keeps.
#pragma once

#include "wsserver/base/cpp20.hpp"

#include <optional>
#include <span>
#include <string_view>

#include "wsserver/base/packed_strings.hpp"
#include "wsserver/handshake/http.hpp"

namespace wsserver {

/// Immutable fields in an object of the size of a pointer, which allocates only if there are some.
class KeptFields {
   public:
    KeptFields() noexcept = default;
    /// Copies `fields`. A field without a name ends them.
    explicit KeptFields(std::span<const HttpField> fields);

    /// The value of the first field with this name, without regard to case. Valid as long as the object.
    std::optional<std::string_view> find(std::string_view name) const noexcept;
    /// Whether it has exactly these fields, with names of the same case and in the same order.
    bool are(std::span<const HttpField> fields) const noexcept;

   private:
    PackedStrings texts_;  ///< name and value of each, and an empty name
};

}  // namespace wsserver
