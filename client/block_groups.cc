#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "client/block_io.h"
#include "client/block_story.h"
#include "client/parallel.h"
#include "common/log.h"

// The calls of BlockIo that concern many blocks at once.
namespace ringfs::client {
namespace {

// Of one message.
constexpr size_t kItemsAtOnce = 4096;

void SetItem(const BlockKey& key, uint64_t bucket_version, wire::SyncItem& item) {
  item.mutable_block()->set_pool(Raw(key.pool));
  item.mutable_block()->set_data(Raw(key.data));
  item.mutable_block()->set_index(key.index);
  item.set_bucket_version(bucket_version);
}

}  // namespace

asio::awaitable<Result<void>> BlockIo::SyncAt(ServerId server, wire::SyncRequest request,
                                              int64_t timeout_ms) {
  auto answer =
      co_await Send(server, wire::CHUNK_SYNC, request.SerializeAsString(), {}, timeout_ms);
  if (!answer) co_return Fail(answer.error());
  co_return Result<void>();
}

asio::awaitable<Result<void>> BlockIo::Sync(std::vector<BlockKey> keys, Deadline deadline) {
  BlockStory story;
  size_t begin = 0;
  for (Retry retry(deadline); begin < keys.size();) {
    const size_t end = std::min(begin + kItemsAtOnce, keys.size());
    std::map<ServerId, wire::SyncRequest> requests;
    Attempt attempt{keys[begin], link_.session(), ServerId{0}, 0};
    Error error{Errc::kOk, {}};
    for (size_t i = begin; i < end; ++i) {
      auto place = view().Find(keys[i]);
      if (!place) {
        error = place.error();
        attempt.key = keys[i];
        break;
      }
      if (i == begin) attempt.bucket_version = place->version;
      for (const ServerId server : place->serving) {
        SetItem(keys[i], place->version, *requests[server].add_items());
      }
    }
    if (error.code == Errc::kOk) {
      std::vector<ServerId> servers;
      std::vector<asio::awaitable<Result<void>>> calls;
      for (auto& [server, request] : requests) {
        request.set_session(Raw(attempt.session));
        servers.push_back(server);
        calls.push_back(SyncAt(server, std::move(request), retry.left_ms()));
      }
      const auto results = co_await Parallel(executor_, std::move(calls));
      for (size_t i = 0; i < results.size(); ++i) {
        if (results[i]) continue;
        error = results[i].error();
        story.Add(servers[i], error);
      }
    } else {
      story.Add(ServerId{0}, error);
    }
    if (error.code == Errc::kOk) {
      begin = end;
    } else if (!co_await MayTryAgain(attempt, error.code, retry)) {
      co_return Fail(story.Tell("sync of", attempt.key, chunks_, error));
    }
  }
  co_return Result<void>();
}

asio::awaitable<Result<wire::StatBlocksReply>> BlockIo::StatAt(ServerId server,
                                                               wire::StatBlocksRequest request,
                                                               int64_t timeout_ms) {
  const int asked = request.items_size();
  auto answer =
      co_await Send(server, wire::CHUNK_STAT, request.SerializeAsString(), {}, timeout_ms);
  if (!answer) co_return Fail(answer.error());
  auto reply = rpc::Parse<wire::StatBlocksReply>(answer->body);
  if (reply && reply->blocks_size() != asked) {
    co_return Fail(Errc::kProtocol,
                   fmt::format("{} blocks told of {} asked", reply->blocks_size(), asked));
  }
  co_return reply;
}

asio::awaitable<Result<std::vector<wire::BlockInfo>>> BlockIo::Stat(std::vector<BlockKey> keys,
                                                                    bool extents,
                                                                    Deadline deadline) {
  std::vector<wire::BlockInfo> infos(keys.size());
  std::vector<size_t> left(keys.size());
  for (size_t i = 0; i < keys.size(); ++i) left[i] = i;
  BlockStory story;
  for (Retry retry(deadline); !left.empty();) {
    auto place = view().Find(keys[left.front()]);
    const Attempt attempt = Aim(keys[left.front()], place);
    // Those that are at one head with the first one; the others have their turn later.
    std::vector<size_t> together;
    wire::StatBlocksRequest request;
    request.set_session(Raw(attempt.session));
    request.set_extents(extents);
    for (const size_t i : left) {
      const auto other = view().Find(keys[i]);
      if (!place || !other || other->head != place->head) continue;
      together.push_back(i);
      SetItem(keys[i], other->version, *request.add_items());
    }
    Error error;
    if (place) {
      auto reply = co_await StatAt(place->head, std::move(request), retry.left_ms());
      if (reply) {
        for (size_t i = 0; i < together.size(); ++i) {
          infos[together[i]] = std::move(*reply->mutable_blocks(static_cast<int>(i)));
        }
        std::erase_if(left, [&](size_t i) {
          return std::binary_search(together.begin(), together.end(), i);
        });
        continue;
      }
      error = reply.error();
    } else {
      error = place.error();
    }
    story.Add(attempt.server, error);
    if (!co_await MayTryAgain(attempt, error.code, retry)) {
      co_return Fail(story.Tell("stat of", attempt.key, chunks_, error));
    }
  }
  co_return infos;
}

asio::awaitable<Result<void>> BlockIo::DropAt(ServerId server, BlockKey from, Deadline deadline) {
  BlockStory story;
  for (Retry retry(deadline);;) {
    const SessionId session = link_.session();
    wire::DropRequest request;
    request.set_session(Raw(session));
    request.set_pool(Raw(from.pool));
    request.set_data(Raw(from.data));
    request.set_from_index(from.index);
    request.set_number(++drops_sent_);
    request.set_epoch(Raw(view().epoch()));
    auto answer =
        co_await Send(server, wire::CHUNK_DROP, request.SerializeAsString(), {}, retry.left_ms());
    if (answer) co_return Result<void>();
    const std::vector<ServerId> needed = view().ServersOf(from.pool);
    if (std::find(needed.begin(), needed.end(), server) == needed.end()) {
      co_return Result<void>();  // it holds nothing that counts; when it returns it is compared
    }
    story.Add(server, answer.error());
    if (WantsNewMap(answer.code())) maps_.Refresh();
    if (answer.code() == Errc::kFenced || !MayRetry(answer.code()) ||
        !co_await retry.Pause(maps_.changed())) {
      co_return Fail(story.Tell("drop from", from, chunks_, answer.error()));
    }
  }
}

asio::awaitable<Result<void>> BlockIo::Drop(BlockKey from, Deadline deadline) {
  std::vector<asio::awaitable<Result<void>>> calls;
  for (const ServerId server : view().ServersOf(from.pool)) {
    calls.push_back(DropAt(server, from, deadline));
  }
  const auto results = co_await Parallel(executor_, std::move(calls));
  for (const auto& result : results) {
    if (!result) co_return Fail(result.error());
  }
  co_return Result<void>();
}

}  // namespace ringfs::client
