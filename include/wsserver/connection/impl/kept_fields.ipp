#pragma once

#include "wsserver/connection/kept_fields.hpp"

#include <cstddef>
#include <vector>

#include "wsserver/handshake/detail/http_text.hpp"

namespace wsserver {

KeptFields::KeptFields(std::span<const HttpField> fields) {
    if (fields.empty()) return;
    std::vector<std::string_view> texts;
    for (const auto& [name, value] : fields) texts.insert(texts.end(), {name, value});
    texts.emplace_back();
    texts_ = PackedStrings{texts};
}

std::optional<std::string_view> KeptFields::find(std::string_view name) const noexcept {
    if (texts_.empty()) return std::nullopt;
    for (std::size_t i = 0; !texts_[i].empty(); i += 2) {
        if (http_text::equal_without_case(texts_[i], name)) return texts_[i + 1];
    }
    return std::nullopt;
}

bool KeptFields::are(std::span<const HttpField> fields) const noexcept {
    if (texts_.empty()) return fields.empty();
    std::size_t i = 0;
    for (const auto& [name, value] : fields) {
        if (texts_[i] != name || texts_[i].empty() || texts_[i + 1] != value) return false;
        i += 2;
    }
    return texts_[i].empty();
}

}  // namespace wsserver
