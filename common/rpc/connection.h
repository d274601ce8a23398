#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/awaitable.hpp>
#include <asio/buffer.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <limits>
#include <memory>
#include <span>

#include "common/rpc/frame.h"

namespace ringfs::rpc {

// What a connection may have queued for a peer that does not read, where nothing else bounds it.
inline constexpr size_t kMaxQueuedBytes = 64u << 20;

struct ConnectionOptions {
  int64_t keepalive_ms = 1000;
  int64_t dead_after_ms = 10000;
  // With more than this queued for the peer, nothing is read from it.
  size_t pause_reading_bytes = std::numeric_limits<size_t>::max();
};

// Who gets what arrives on a connection. All calls come from its read loop and must not wait.
class FrameSink {
 public:
  virtual ~FrameSink() = default;
  // A call, an answer or a push.
  virtual void OnFrame(Frame frame) = 0;
  // What arrived is no frame; nothing more is read. Ends the connection, by Close() or Finish().
  virtual void OnFault(const Error& fault) = 0;
  // The connection is gone; the last call.
  virtual void OnEnd(const Error& why) = 0;
};

// One TCP connection that carries frames in both directions, and watches that the peer lives.
//
// Frames that are sent while the read loop hands out what one read brought leave together; others
// leave at once, without a detour through the reactor, as far as the socket takes them.
//
// Owns:    the socket and its timers, until the end of the connection or of the io_context; the
//          object itself may outlive both.
// Threads: only from the executor of the socket.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(asio::ip::tcp::socket socket, ConnectionOptions options);

  // Starts to read. Keeps `sink` until its OnEnd() was called. Once only.
  void Start(std::shared_ptr<FrameSink> sink);

  // Queues `frame` behind all others. Never calls the sink. Nothing happens once the connection is
  // not open.
  void Send(OutFrame frame);

  // Ends the connection now. What is queued is dropped. OnEnd() follows, from the read loop.
  void Close(Error why);
  // Ends the connection when what is queued was sent. Nothing more is read or sent.
  void Finish(Error why);
  // Until ResumeReading(), no further frame is handed out.
  void PauseReading() { paused_ = true; }
  void ResumeReading();

  bool open() const { return !closed_ && !finishing_; }
  size_t queued_bytes() const { return queued_bytes_; }

 private:
  using Time = asio::steady_timer::time_point;
  class EndOfIo;
  struct Io {
    explicit Io(asio::ip::tcp::socket taken)
        : socket(std::move(taken)), tick(socket.get_executor()), resume(socket.get_executor()) {}
    asio::ip::tcp::socket socket;
    asio::steady_timer tick;    // of Watch()
    asio::steady_timer resume;  // of WaitUntilResumed()
  };
  enum class Next { kFill, kReadLarge, kWait, kStop };

  static asio::awaitable<void> Run(std::unique_ptr<EndOfIo> io, std::shared_ptr<FrameSink> sink);
  asio::awaitable<void> ReadFrames(FrameSink& sink);
  Result<Next> HandOutBuffered(FrameSink& sink);
  void HandOut(FrameSink& sink, Frame frame);
  asio::awaitable<void> Fill();
  asio::awaitable<void> ReadLarge(FrameSink& sink);
  asio::awaitable<bool> ReadInto(std::span<std::byte> out);
  asio::awaitable<void> WaitUntilResumed();
  asio::awaitable<void> DiscardInput();
  bool must_wait() const { return paused_ || queued_bytes_ > options_.pause_reading_bytes; }
  std::span<const std::byte> unread() const { return {in_.get() + in_begin_, in_end_ - in_begin_}; }
  // Takes note of the outcome of a read; false when the connection is over.
  bool Heard(const asio::error_code& error, size_t bytes);

  void WriteNow();
  static asio::awaitable<void> WriteLoop(std::shared_ptr<Connection> self);
  size_t Collect(std::span<asio::const_buffer> out) const;
  void Consume(size_t bytes);
  void WhenSent();

  static asio::awaitable<void> Watch(std::shared_ptr<Connection> self);
  Time NextCheck(Time now) const;
  void Check(Time due, Time now);

  std::unique_ptr<Io> io_;  // null once the connection is over
  const ConnectionOptions options_;
  bool closed_ = false;
  bool finishing_ = false;
  Error end_;  // why it is closed or finishing

  std::unique_ptr<std::byte[]> in_;
  size_t in_begin_ = 0;
  size_t in_end_ = 0;
  FrameHeader large_;          // of the frame that ReadLarge() is to read
  bool in_large_ = false;      // it has begun
  bool paused_ = false;        // by the sink
  bool waiting_ = false;       // in WaitUntilResumed()
  Time last_heard_;            // when bytes arrived last
  Time frame_mark_;            // when the unfinished frame began or last made real progress
  size_t frame_progress_ = 0;  // bytes since then

  std::deque<OutFrame> queue_;
  size_t sent_ = 0;  // bytes of the first frame that have left
  size_t queued_bytes_ = 0;
  bool corked_ = false;   // frames wait for the end of HandOutBuffered()
  bool writing_ = false;  // WriteLoop() runs
  Time last_progress_;    // when the socket took bytes last, or the queue was empty
  Time finish_by_;
};

}  // namespace ringfs::rpc
