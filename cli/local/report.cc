#include "cli/local/local_cluster.h"

namespace ringfs::cli {

Json ToJson(const UpReport& report) {
  Json json{{"mountpoint", report.mountpoint},
            {"master", report.master},
            {"data", report.data},
            {"chunkservers", Json::array()},
            {"new", report.is_new}};
  for (const UpReport::Chunkserver& server : report.chunkservers) {
    Json one{{"name", server.name}, {"address", server.address}};
    if (server.pid != 0) one["pid"] = server.pid;
    json["chunkservers"].push_back(std::move(one));
  }
  return json;
}

Json ToJson(const DownReport& report) {
  return Json{{"stopped", report.stopped}, {"data", report.data}};
}

}  // namespace ringfs::cli
