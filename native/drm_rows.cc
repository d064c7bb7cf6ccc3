#include "drm_rows.h"

#include "drm_parse.h"

namespace hivepulse {

double NameTable::IndexOf(std::string_view name) {
  const auto [at, added] = known_.try_emplace(std::string(name), static_cast<double>(known_.size()));
  if (added) lines_.append(name).push_back('\n');
  return at->second;
}

void AppendDrmClient(int error, std::string_view text, std::vector<double>* rows, NameTable* names) {
  DrmClient client;
  const bool found = error == 0 && ParseFdinfo(text, &client);
  rows->insert(rows->end(), {static_cast<double>(error), found ? 1.0 : 0.0});
  if (!found) return;
  rows->insert(rows->end(),
               {names->IndexOf(client.driver), names->IndexOf(client.pdev), names->IndexOf(client.id),
                static_cast<double>(client.engines.size()), static_cast<double>(client.engine_percents.size()),
                static_cast<double>(client.resident_bytes.size())});
  for (const DrmEngine& engine : client.engines) {
    rows->insert(rows->end(), {names->IndexOf(engine.name), engine.busy, engine.of, engine.capacity});
  }
  for (const auto* amounts : {&client.engine_percents, &client.resident_bytes}) {
    for (const DrmAmount& amount : *amounts) rows->insert(rows->end(), {names->IndexOf(amount.name), amount.amount});
  }
}

}  // namespace hivepulse
