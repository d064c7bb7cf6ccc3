#include "status_questions.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "cgroup_parse.h"
#include "clock.h"
#include "kernel_file.h"

namespace hivepulse {

namespace {

constexpr std::size_t kAtOnce = 100;
/// `HTTP/1.1 200`
constexpr std::size_t kStatusBytes = 12;
/// How long a server may take to end the connection after its status came: one that is cut off may complain of it.
constexpr double kEndMs = 100;

struct Address {
  sockaddr_storage storage{};
  socklen_t length = 0;
};

bool ParseAddress(const std::string& host, const std::string& port, Address* address) {
  const double number = ParseUnsigned(port);
  if (!(number >= 1 && number <= 65535)) return false;
  const in_port_t network_port = htons(static_cast<std::uint16_t>(number));
  sockaddr_in ipv4{};
  if (inet_pton(AF_INET, host.c_str(), &ipv4.sin_addr) == 1) {
    ipv4.sin_family = AF_INET;
    ipv4.sin_port = network_port;
    address->length = sizeof ipv4;
    std::memcpy(&address->storage, &ipv4, sizeof ipv4);
    return true;
  }
  sockaddr_in6 ipv6{};
  if (inet_pton(AF_INET6, host.c_str(), &ipv6.sin6_addr) != 1) return false;
  ipv6.sin6_family = AF_INET6;
  ipv6.sin6_port = network_port;
  address->length = sizeof ipv6;
  std::memcpy(&address->storage, &ipv6, sizeof ipv6);
  return true;
}

/// One connection to one server.
class Question {
 public:
  explicit Question(const std::string& text) {
    const std::size_t host = text.find(' ');
    const std::size_t port = host == std::string::npos ? host : text.find(' ', host + 1);
    Address address;
    if (port == std::string::npos ||
        !ParseAddress(text.substr(0, host), text.substr(host + 1, port - host - 1), &address))
      return;
    request_ = text.substr(port + 1);
    socket_ = FileDescriptor(socket(address.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!socket_) return;
    const auto* const name = reinterpret_cast<const sockaddr*>(&address.storage);
    if (connect(socket_.get(), name, address.length) != 0 && errno != EINPROGRESS) socket_.Close();
  }

  bool is_open() const { return static_cast<bool>(socket_); }
  int descriptor() const { return socket_.get(); }
  short events() const { return request_.empty() ? POLLIN : POLLOUT; }
  int status() const { return std::max(status_, 0); }
  double ends_ms() const { return ends_ms_; }

  /// The socket is ready, or has failed.
  void Go() {
    if (!request_.empty()) {
      Send();
    } else {
      Receive();
    }
  }

  void End() { socket_.Close(); }

 private:
  void Send() {
    const ssize_t sent = send(socket_.get(), request_.data(), request_.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      request_.erase(0, static_cast<std::size_t>(sent));
    } else if (errno != EAGAIN && errno != EINTR) {
      End();
    }
  }

  void Receive() {
    char bytes[4096];
    const ssize_t got = recv(socket_.get(), bytes, sizeof bytes, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (got <= 0) {
      End();
      return;
    }
    if (status_ >= 0) return;
    answer_.append(bytes, std::min(static_cast<std::size_t>(got), kStatusBytes));
    status_ = StatusOf(answer_);
    if (status_ == 0) End();
    if (status_ > 0) ends_ms_ = MonotonicMs() + kEndMs;
  }

  FileDescriptor socket_;
  /// What is not sent yet.
  std::string request_;
  std::string answer_;
  int status_ = -1;
  /// When it is ended, where its status is known; else 0.
  double ends_ms_ = 0;
};

/// Waits until some sockets are ready, at most until `deadline_ms`, and goes on with those. False: none is open any
/// more.
bool GoOn(std::vector<Question>* questions, double deadline_ms) {
  std::vector<pollfd> polled;
  std::vector<Question*> of;
  double until_ms = deadline_ms;
  for (Question& question : *questions) {
    if (!question.is_open()) continue;
    polled.push_back({question.descriptor(), question.events(), 0});
    of.push_back(&question);
    if (question.ends_ms() > 0) until_ms = std::min(until_ms, question.ends_ms());
  }
  if (polled.empty()) return false;
  const int wait_ms = std::max(0, static_cast<int>(until_ms - MonotonicMs()) + 1);
  poll(polled.data(), polled.size(), wait_ms);
  const double now_ms = MonotonicMs();
  for (std::size_t i = 0; i < polled.size(); ++i) {
    if (polled[i].revents != 0) of[i]->Go();
    if (now_ms >= (of[i]->ends_ms() > 0 ? of[i]->ends_ms() : deadline_ms)) of[i]->End();
  }
  return true;
}

}  // namespace

int StatusOf(const std::string& answer) {
  constexpr const char kShape[] = "HTTP/1.d ddd";
  static_assert(sizeof kShape - 1 == kStatusBytes, "the shape of a status has another length");
  for (std::size_t i = 0; i < std::min(answer.size(), kStatusBytes); ++i) {
    const bool is_digit = answer[i] >= '0' && answer[i] <= '9';
    if (kShape[i] == 'd' ? !is_digit : answer[i] != kShape[i]) return 0;
  }
  if (answer.size() < kStatusBytes) return -1;
  const int status = (answer[9] - '0') * 100 + (answer[10] - '0') * 10 + (answer[11] - '0');
  return status >= 200 ? status : 0;
}

std::vector<int> AskStatuses(const std::vector<std::string>& questions, int timeout_ms) {
  std::vector<int> statuses;
  statuses.reserve(questions.size());
  for (std::size_t from = 0; from < questions.size(); from += kAtOnce) {
    std::vector<Question> some;
    some.reserve(kAtOnce);
    for (std::size_t i = from; i < std::min(from + kAtOnce, questions.size()); ++i) some.emplace_back(questions[i]);
    const double deadline_ms = MonotonicMs() + timeout_ms;
    while (GoOn(&some, deadline_ms)) {
    }
    for (const Question& question : some) statuses.push_back(question.status());
  }
  return statuses;
}

}  // namespace hivepulse
