// Watches the frames of a connection.
#pragma once

#include "wsserver/protocol/frame.hpp"

namespace wsserver {

/// Sees every frame in both directions, for debugging.
class FrameTap {
   public:
    /// Called when the header is known. An incoming frame may still break a rule, and its payload may not have arrived
    /// yet.
    virtual void on_frame(bool incoming, const FrameHeader& header) = 0;

   protected:
    ~FrameTap() = default;
};

}  // namespace wsserver
