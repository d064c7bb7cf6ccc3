#include "drm_rows.h"

namespace hivepulse {

void DrmRows::Append(int error, std::string_view text, std::vector<double>* rows, std::string* names) {
  const bool found = error == 0 && parser_.Parse(text, &client_);
  rows->insert(rows->end(), {static_cast<double>(error), found ? 1.0 : 0.0});
  if (!found) return;
  const auto name = [names](std::string_view text) { names->append(text).push_back('\n'); };
  for (const std::string_view each : {client_.driver, client_.pdev, client_.id}) name(each);
  rows->insert(rows->end(), {static_cast<double>(client_.engines.size()),
                             static_cast<double>(client_.engine_percents.size()),
                             static_cast<double>(client_.resident_bytes.size())});
  for (const DrmEngine& engine : client_.engines) {
    name(engine.name);
    rows->insert(rows->end(), {engine.busy, engine.of, engine.capacity});
  }
  for (const auto* amounts : {&client_.engine_percents, &client_.resident_bytes}) {
    for (const DrmAmount& amount : *amounts) {
      name(amount.name);
      rows->push_back(amount.amount);
    }
  }
}

}  // namespace hivepulse
