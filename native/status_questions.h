#pragma once

#include <string>
#include <vector>

namespace hivepulse {

/// Asks HTTP servers, all at once, and gives the status of each answer; 0 where none came in time, or what came is no
/// HTTP. A question is `<IP address> <port> <request>`; the request must ask for the end of the connection. Ends within
/// `timeout_ms` for each hundred questions.
std::vector<int> AskStatuses(const std::vector<std::string>& questions, int timeout_ms);

/// The status in the first bytes of an answer: 0 where they are none of HTTP/1, or an informational one, -1 where more
/// are needed. Pure.
int StatusOf(const std::string& answer);

}  // namespace hivepulse
