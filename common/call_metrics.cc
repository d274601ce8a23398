#include "common/call_metrics.h"

#include <google/protobuf/descriptor.h>

#include <algorithm>
#include <cctype>

namespace ringfs {
namespace {

constexpr const char* kKindLabel = "kind";

CallFigures FiguresOf(Metrics& metrics, const std::string& kind) {
  CallFigures figures;
  figures.calls =
      &metrics.AddCounter("ringfs_calls_total", "Calls that were answered.", kKindLabel, kind);
  figures.errors = &metrics.AddCounter(
      "ringfs_call_errors_total", "Calls that were answered with an error.", kKindLabel, kind);
  figures.bytes_in = &metrics.AddCounter("ringfs_call_received_bytes_total",
                                         "Bytes of the calls.", kKindLabel, kind);
  figures.bytes_out = &metrics.AddCounter("ringfs_call_sent_bytes_total",
                                          "Bytes of the answers.", kKindLabel, kind);
  figures.time = &metrics.AddHistogram(
      "ringfs_call_seconds", "From the arrival of a call to its answer.", kKindLabel, kind);
  return figures;
}

}  // namespace

CallMetrics::CallMetrics(Metrics& metrics, const std::vector<Kind>& kinds)
    : running_(metrics.AddGauge("ringfs_calls_running", "Calls that wait for their answer.")),
      unknown_(FiguresOf(metrics, "unknown")) {
  for (const Kind& kind : kinds) {
    if (kind.number < kKinds) known_[kind.number] = FiguresOf(metrics, kind.name);
  }
}

void CallMetrics::Ended(uint32_t kind, bool failed, size_t bytes_in, size_t bytes_out,
                        int64_t ns) {
  const bool known = kind < kKinds && known_[kind].calls != nullptr;
  const CallFigures& figures = known ? known_[kind] : unknown_;
  running_.Add(-1);
  figures.calls->Add();
  if (failed) figures.errors->Add();
  if (bytes_in > 0) figures.bytes_in->Add(bytes_in);
  if (bytes_out > 0) figures.bytes_out->Add(bytes_out);
  figures.time->Observe(ns);
}

std::vector<CallMetrics::Kind> CallMetrics::KindsOf(
    const google::protobuf::EnumDescriptor& methods, const std::string& prefix) {
  std::vector<Kind> kinds;
  for (int i = 0; i < methods.value_count(); ++i) {
    std::string name = methods.value(i)->name();
    // 0 is none, and a push is no call.
    if (methods.value(i)->number() == 0 || name.starts_with(prefix + "PUSH_")) continue;
    if (name.starts_with(prefix)) name.erase(0, prefix.size());
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    kinds.push_back({static_cast<uint32_t>(methods.value(i)->number()), std::move(name)});
  }
  return kinds;
}

}  // namespace ringfs
