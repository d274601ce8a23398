#include "common/rpc/connection.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <utility>

#include "common/async.h"
#include "common/check.h"

namespace ringfs::rpc {
namespace {

constexpr size_t kReadBufferBytes = 64u << 10;
// Frames up to this size are gathered in the read buffer; larger ones are received in place.
constexpr size_t kBufferedFrameBytes = 16u << 10;
// A large body takes memory as it arrives, not as it is announced.
constexpr size_t kBodyStepBytes = 1u << 20;
// An unfinished frame must grow by this much within dead_after_ms.
constexpr size_t kProgressBytes = 64u << 10;
constexpr size_t kMaxPieces = 64;  // what one writev of Asio takes
// What a frame in the queue costs beside its bytes.
constexpr size_t kFrameOverhead = 128;
constexpr auto kLinger = std::chrono::seconds(1);
constexpr size_t kMaxDiscardedBytes = 1u << 20;

asio::steady_timer::time_point Now() { return asio::steady_timer::clock_type::now(); }

Error Lost(const asio::error_code& error) {
  if (error == asio::error::eof) return {Errc::kUnavailable, "the peer closed the connection"};
  return {Errc::kUnavailable, "the connection broke: " + error.message()};
}

}  // namespace

// Belongs to Run(), also before it has begun. Gives the socket and the timers back when the read
// loop ends, also when it ends because the io_context is destroyed: they must not outlive that.
class Connection::EndOfIo {
 public:
  explicit EndOfIo(std::shared_ptr<Connection> connection) : connection_(std::move(connection)) {}
  EndOfIo(const EndOfIo&) = delete;
  EndOfIo& operator=(const EndOfIo&) = delete;
  ~EndOfIo() {
    connection_->closed_ = true;
    connection_->io_.reset();
    connection_->queue_.clear();
    connection_->queued_bytes_ = 0;
  }
  Connection& connection() const { return *connection_; }

 private:
  const std::shared_ptr<Connection> connection_;
};

Connection::Connection(asio::ip::tcp::socket socket, ConnectionOptions options)
    : io_(std::make_unique<Io>(std::move(socket))),
      options_(options),
      in_(std::make_unique_for_overwrite<std::byte[]>(kReadBufferBytes)),
      last_heard_(Now()),
      frame_mark_(last_heard_),
      last_progress_(last_heard_) {}

void Connection::Start(std::shared_ptr<FrameSink> sink) {
  asio::error_code error;
  io_->socket.set_option(asio::ip::tcp::no_delay(true), error);
  if (!error) io_->socket.non_blocking(true, error);
  const asio::any_io_executor executor = io_->socket.get_executor();
  if (error) Close(Lost(error));
  Spawn(executor, Run(std::make_unique<EndOfIo>(shared_from_this()), std::move(sink)),
        "rpc read loop");
  Spawn(executor, Watch(shared_from_this()), "rpc keepalive");
}

void Connection::Close(Error why) {
  if (closed_) return;
  if (!finishing_) end_ = std::move(why);
  closed_ = true;
  asio::error_code ignored;  // the descriptor is closed in any case
  io_->socket.close(ignored);
  io_->tick.cancel();
  io_->resume.cancel();
  queue_.clear();
  queued_bytes_ = 0;
}

void Connection::Finish(Error why) {
  if (!open()) return;
  finishing_ = true;
  end_ = std::move(why);
  finish_by_ = Now() + kLinger;
  io_->tick.cancel();
  io_->resume.cancel();
  if (queue_.empty()) WhenSent();
}

// --- reading

asio::awaitable<void> Connection::Run(std::unique_ptr<EndOfIo> io,
                                      std::shared_ptr<FrameSink> sink) {
  Connection& self = io->connection();
  const std::shared_ptr<Connection> alive = self.shared_from_this();
  co_await self.ReadFrames(*sink);
  self.Close({Errc::kUnavailable, "closed"});
  io.reset();
  sink->OnEnd(self.end_);
}

asio::awaitable<void> Connection::ReadFrames(FrameSink& sink) {
  while (open()) {
    corked_ = true;
    const Result<Next> next = HandOutBuffered(sink);
    if (!next) sink.OnFault(next.error());
    corked_ = false;
    if (!closed_ && !writing_) WriteNow();
    if (!open()) break;
    if (*next == Next::kWait) {
      // What was queued meanwhile may have left just now.
      if (must_wait()) co_await WaitUntilResumed();
    } else if (*next == Next::kReadLarge) {
      co_await ReadLarge(sink);
    } else {
      co_await Fill();
    }
  }
  if (!closed_) co_await DiscardInput();
}

// Hands out the frames that are whole in the buffer, and says what is to be done for the next.
Result<Connection::Next> Connection::HandOutBuffered(FrameSink& sink) {
  while (open()) {
    if (must_wait()) return Next::kWait;
    const std::span<const std::byte> bytes = unread();
    if (bytes.size() < kHeaderBytes) return Next::kFill;
    const std::span<const std::byte> raw = bytes.first(kHeaderBytes);
    const Result<FrameHeader> header = DecodeHeader(raw);
    if (!header) return Fail(header.error());
    const size_t size = kHeaderBytes + header->body_bytes + header->payload_bytes;
    if (size > kBufferedFrameBytes) {
      large_ = *header;
      return Next::kReadLarge;
    }
    if (bytes.size() < size) return Next::kFill;
    const std::span<const std::byte> body = bytes.subspan(kHeaderBytes, header->body_bytes);
    if (Result<void> whole = VerifyFrame(raw, body); !whole) return Fail(whole.error());
    Frame frame;
    frame.header = *header;
    frame.body.assign(reinterpret_cast<const char*>(body.data()), body.size());
    frame.payload =
        Buffer::CopyOf(bytes.subspan(kHeaderBytes + body.size(), header->payload_bytes));
    in_begin_ += size;
    frame_progress_ = 0;
    frame_mark_ = last_heard_;
    HandOut(sink, std::move(frame));
  }
  return Next::kStop;
}

void Connection::HandOut(FrameSink& sink, Frame frame) {
  switch (frame.header.kind) {
    case FrameKind::kPing:
      if (queued_bytes_ > kMaxQueuedBytes) {
        return Close({Errc::kUnavailable, "the peer asks but does not read"});
      }
      return Send(MakeSignalFrame(FrameKind::kPong));
    case FrameKind::kPong:
      return;
    case FrameKind::kCall:
    case FrameKind::kAnswer:
    case FrameKind::kPush:
      return sink.OnFrame(std::move(frame));
  }
}

asio::awaitable<void> Connection::Fill() {
  if (in_begin_ > 0) {
    std::memmove(in_.get(), in_.get() + in_begin_, in_end_ - in_begin_);
    in_end_ -= in_begin_;
    in_begin_ = 0;
  }
  const asio::mutable_buffer room(in_.get() + in_end_, kReadBufferBytes - in_end_);
  const auto [error, bytes] = co_await io_->socket.async_read_some(room, kNoThrow);
  if (Heard(error, bytes)) in_end_ += bytes;
}

asio::awaitable<void> Connection::ReadLarge(FrameSink& sink) {
  in_large_ = true;
  std::array<std::byte, kHeaderBytes> raw;
  if (!co_await ReadInto(raw)) co_return;
  Frame frame;
  frame.header = large_;
  while (frame.body.size() < large_.body_bytes) {
    const size_t at = frame.body.size();
    frame.body.resize(at + std::min<size_t>(kBodyStepBytes, large_.body_bytes - at));
    const std::span<char> step = std::span(frame.body).subspan(at);
    if (!co_await ReadInto(std::as_writable_bytes(step))) co_return;
  }
  if (Result<void> whole = VerifyFrame(raw, std::as_bytes(std::span(frame.body))); !whole) {
    sink.OnFault(whole.error());
    co_return;
  }
  frame.payload = Buffer::Allocate(large_.payload_bytes);
  if (!co_await ReadInto(frame.payload.bytes())) co_return;
  in_large_ = false;
  if (open()) HandOut(sink, std::move(frame));
}

// Fills `out` from the read buffer and then from the socket. False: the connection is over.
asio::awaitable<bool> Connection::ReadInto(std::span<std::byte> out) {
  const size_t buffered = std::min(out.size(), in_end_ - in_begin_);
  if (buffered > 0) std::memcpy(out.data(), in_.get() + in_begin_, buffered);
  in_begin_ += buffered;
  out = out.subspan(buffered);
  while (!out.empty()) {
    const asio::mutable_buffer room(out.data(), out.size());
    const auto [error, bytes] = co_await io_->socket.async_read_some(room, kNoThrow);
    if (!Heard(error, bytes)) co_return false;
    out = out.subspan(bytes);
  }
  co_return true;
}

bool Connection::Heard(const asio::error_code& error, size_t bytes) {
  if (closed_) return false;
  if (error) {
    Close(Lost(error));
    return false;
  }
  last_heard_ = Now();
  const bool idle = !in_large_ && in_begin_ == in_end_;
  frame_progress_ += bytes;
  if (idle || frame_progress_ >= kProgressBytes) {
    frame_progress_ = 0;
    frame_mark_ = last_heard_;
  }
  return true;
}

asio::awaitable<void> Connection::WaitUntilResumed() {
  waiting_ = true;
  io_->resume.expires_at(Time::max());
  co_await io_->resume.async_wait(kNoThrow);
  waiting_ = false;
  last_heard_ = frame_mark_ = Now();
}

void Connection::ResumeReading() {
  paused_ = false;
  if (!closed_ && waiting_ && !must_wait()) io_->resume.cancel();
}

// Closing with unread input makes the kernel reset the connection, and the peer would lose the
// last answer: so the input is read until the peer ends it, or Watch() does.
asio::awaitable<void> Connection::DiscardInput() {
  size_t discarded = 0;
  while (!closed_ && discarded < kMaxDiscardedBytes) {
    const asio::mutable_buffer room(in_.get(), kReadBufferBytes);
    const auto [error, bytes] = co_await io_->socket.async_read_some(room, kNoThrow);
    if (error) break;
    discarded += bytes;
  }
}

// --- writing

void Connection::Send(OutFrame frame) {
  if (!open()) return;
  if (queue_.empty()) last_progress_ = Now();
  queued_bytes_ += frame.bytes + kFrameOverhead;
  queue_.push_back(std::move(frame));
  if (!corked_ && !writing_) WriteNow();
}

void Connection::WriteNow() {
  while (!queue_.empty()) {
    std::array<asio::const_buffer, kMaxPieces> pieces;
    const std::span<const asio::const_buffer> filled(pieces.data(), Collect(pieces));
    asio::error_code error;
    const size_t bytes = io_->socket.write_some(filled, error);
    if (error == asio::error::would_block || error == asio::error::try_again) {
      writing_ = true;
      return Spawn(io_->socket.get_executor(), WriteLoop(shared_from_this()), "rpc write loop");
    }
    if (error) return Close(Lost(error));
    Consume(bytes);
  }
  WhenSent();
}

asio::awaitable<void> Connection::WriteLoop(std::shared_ptr<Connection> self) {
  std::array<asio::const_buffer, kMaxPieces> pieces;
  while (!self->closed_ && !self->queue_.empty()) {
    const std::span<const asio::const_buffer> filled(pieces.data(), self->Collect(pieces));
    const auto [error, bytes] = co_await self->io_->socket.async_write_some(filled, kNoThrow);
    if (self->closed_) break;
    if (error) {
      self->Close(Lost(error));
    } else {
      self->Consume(bytes);
    }
  }
  self->writing_ = false;
  if (!self->closed_) self->WhenSent();
}

// What is to be sent next, in at most `out.size()` pieces. Returns their number.
size_t Connection::Collect(std::span<asio::const_buffer> out) const {
  size_t count = 0;
  size_t skip = sent_;
  const auto add = [&](const void* data, size_t size) {
    if (skip >= size) {
      skip -= size;
    } else if (count < out.size()) {
      out[count++] = asio::const_buffer(data, size) + std::exchange(skip, 0);
    }
  };
  for (const OutFrame& frame : queue_) {
    add(frame.header.data(), frame.header.size());
    add(frame.body.data(), frame.body.size());
    for (const Buffer& part : frame.payload) add(part.data(), part.size());
    if (count == out.size()) break;
  }
  return count;
}

void Connection::Consume(size_t bytes) {
  last_progress_ = Now();
  sent_ += bytes;
  while (!queue_.empty() && sent_ >= queue_.front().bytes) {
    sent_ -= queue_.front().bytes;
    queued_bytes_ -= queue_.front().bytes + kFrameOverhead;
    queue_.pop_front();
  }
  if (waiting_ && !must_wait()) io_->resume.cancel();
}

void Connection::WhenSent() {
  if (!finishing_) return;
  asio::error_code ignored;  // a socket that is broken already needs no farewell
  io_->socket.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
}

// --- keepalive

asio::awaitable<void> Connection::Watch(std::shared_ptr<Connection> self) {
  while (!self->closed_) {
    const Time due = self->NextCheck(Now());
    self->io_->tick.expires_at(due);
    co_await self->io_->tick.async_wait(kNoThrow);
    if (!self->closed_) self->Check(due, Now());
  }
}

Connection::Time Connection::NextCheck(Time now) const {
  if (finishing_) return finish_by_;
  const auto keepalive = std::chrono::milliseconds(options_.keepalive_ms);
  const Time idle = last_heard_ + keepalive;
  const Time dead = last_heard_ + std::chrono::milliseconds(options_.dead_after_ms);
  const Time next = std::min(idle > now ? idle : now + keepalive, dead);
  return std::max(next, now + std::chrono::milliseconds(1));
}

void Connection::Check(Time due, Time now) {
  const auto keepalive = std::chrono::milliseconds(options_.keepalive_ms);
  const auto dead_after = std::chrono::milliseconds(options_.dead_after_ms);
  if (finishing_) {
    if (now >= finish_by_) Close({Errc::kUnavailable, "closed"});
    return;
  }
  // When this very program stood still, what the peer sent meanwhile has not been read yet.
  if (now - due > dead_after / 2) last_heard_ = last_progress_ = frame_mark_ = now;
  const bool idle = waiting_ || now - last_heard_ >= keepalive;
  if (waiting_) last_heard_ = frame_mark_ = now;
  const bool half_frame = in_large_ || in_begin_ != in_end_;
  const std::string limit = " for " + std::to_string(options_.dead_after_ms) + " ms";
  if (now - last_heard_ >= dead_after) {
    Close({Errc::kUnavailable, "nothing was heard of the peer" + limit});
  } else if (!queue_.empty() && now - last_progress_ >= dead_after) {
    Close({Errc::kUnavailable, "the peer has read nothing" + limit});
  } else if (half_frame && now - frame_mark_ >= dead_after) {
    Close({Errc::kUnavailable, "a frame of the peer has made no progress" + limit});
  } else if (idle && queue_.empty()) {
    Send(MakeSignalFrame(FrameKind::kPing));
  }
}

}  // namespace ringfs::rpc
