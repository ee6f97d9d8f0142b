#include "plugins/source_hf_hub/http.hpp"

#include "libs/hub_cache/folders.hpp"

#include <d2c/error.hpp>

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>
#include <utility>
#include <vector>

namespace d2c::hub {
namespace {

constexpr int kMaxRedirections = 8;
constexpr long kLeastBytesPerSecond = 1024;
/// Of an answer that is no success: enough for its text.
constexpr std::size_t kMaxErrorBody = 64u << 10;
constexpr std::size_t kMaxHeaders = 256;

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
struct EasyDeleter {
  void operator()(CURL* easy) const { curl_easy_cleanup(easy); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};

std::string part_of(CURLU* url, CURLUPart part, unsigned flags) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  std::string copy(text);
  curl_free(text);
  return copy;
}

std::string lower(std::string_view text) {
  std::string copy(text);
  std::transform(copy.begin(), copy.end(), copy.begin(), [](unsigned char c) { return std::tolower(c); });
  return copy;
}

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// What the hub itself says of a file; who it redirects to knows nothing of it.
bool is_from_the_hub(const std::string& header) {
  return header == "x-repo-commit" || header == "x-linked-etag" || header == "x-linked-size";
}

bool is_redirection(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

std::string certificates() {
  for (const char* name : {"REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"})
    if (std::string file = environment(name); !file.empty()) return file;
  return {};
}

struct Transfer {
  Request request;
  std::function<void(Response)> done;
  Response response;
  std::unique_ptr<CURL, EasyDeleter> easy{curl_easy_init()};
  std::unique_ptr<curl_slist, ListDeleter> headers;
  std::array<char, CURL_ERROR_SIZE> error{};
  int redirections = 0;
  bool too_long = false;

  [[nodiscard]] int status() const {
    long code = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_RESPONSE_CODE, &code);
    return static_cast<int>(code);
  }
};

std::size_t on_header(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  auto& headers = transfer.response.headers;
  const std::string_view line(data, size);
  const auto colon = line.find(':');
  if (colon == std::string_view::npos || headers.size() >= kMaxHeaders) return size;
  std::string name = lower(trimmed(line.substr(0, colon)));
  std::string value(trimmed(line.substr(colon + 1)));
  if (is_from_the_hub(name)) headers.emplace(std::move(name), std::move(value));
  else headers.insert_or_assign(std::move(name), std::move(value));
  return size;
}

std::size_t on_body(char* data, std::size_t, std::size_t size, void* user) {
  auto& transfer = *static_cast<Transfer*>(user);
  std::string& body = transfer.response.body;
  const int status = transfer.status();
  const bool success = status >= 200 && status < 300;
  if (!success) {
    body.append(data, std::min(size, kMaxErrorBody - std::min(kMaxErrorBody, body.size())));
    return size;
  }
  transfer.too_long = size > transfer.request.max_bytes - body.size();
  if (transfer.too_long) return CURL_WRITEFUNC_ERROR;
  body.append(data, size);
  return size;
}

}  // namespace

std::string Response::header(const std::string& name) const {
  const auto it = headers.find(name);
  return it == headers.end() ? std::string() : it->second;
}

std::string origin_of(const std::string& url) {
  const std::unique_ptr<CURLU, UrlDeleter> parsed(curl_url());
  if (!parsed || curl_url_set(parsed.get(), CURLUPART_URL, url.c_str(), 0) != CURLUE_OK) return {};
  return lower(part_of(parsed.get(), CURLUPART_SCHEME, 0)) + "://" + lower(part_of(parsed.get(), CURLUPART_HOST, 0)) +
         ":" + part_of(parsed.get(), CURLUPART_PORT, CURLU_DEFAULT_PORT);
}

bool is_private(const std::string& url) {
  const std::string origin = origin_of(url);
  return origin.starts_with("https://") || origin.starts_with("http://localhost:") ||
         origin.starts_with("http://127.0.0.1:") || origin.starts_with("http://[::1]:");
}

struct Http::Impl {
  HttpOptions options;
  std::string origin;
  std::string ca_file = certificates();
  CURLM* multi = nullptr;
  std::vector<std::unique_ptr<Transfer>> transfers;

  explicit Impl(const HttpOptions& o) : options(o), origin(origin_of(o.endpoint)) {
    static const CURLcode initialised = curl_global_init(CURL_GLOBAL_DEFAULT);
    multi = initialised == CURLE_OK ? curl_multi_init() : nullptr;
    if (multi == nullptr) fail(Code::resource, "libcurl cannot be initialised");
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;
  ~Impl() {
    for (const auto& transfer : transfers) curl_multi_remove_handle(multi, transfer->easy.get());
    transfers.clear();
    curl_multi_cleanup(multi);
  }

  void begin(Transfer& transfer, const std::string& url) {
    CURL* easy = transfer.easy.get();
    curl_easy_reset(easy);
    transfer.response.url = url;
    transfer.response.body.clear();
    std::erase_if(transfer.response.headers, [](const auto& header) { return !is_from_the_hub(header.first); });
    set_headers(transfer);
    curl_easy_setopt(easy, CURLOPT_URL, url.c_str());
    curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, options.endpoint.starts_with("https:") ? "https" : "http,https");
    // One connection a transfer: with HTTP/2 all of them would share one, and its pace.
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "dolphin2coreml/" D2C_SDK_VERSION);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, static_cast<long>(options.timeout_seconds));
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, kLeastBytesPerSecond);
    curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.timeout_seconds));
    curl_easy_setopt(easy, CURLOPT_NOBODY, transfer.request.head ? 1L : 0L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer.error.data());
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, &transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, &transfer);
    if (!ca_file.empty()) curl_easy_setopt(easy, CURLOPT_CAINFO, ca_file.c_str());
    if (const auto& range = transfer.request.range) {
      transfer.response.body.reserve(range->count);
      const std::string text = std::to_string(range->first) + "-" + std::to_string(range->first + range->count - 1);
      curl_easy_setopt(easy, CURLOPT_RANGE, text.c_str());
    }
    curl_multi_add_handle(multi, easy);
  }

  void set_headers(Transfer& transfer) const {
    // Compressed bytes would be neither those the digest is of nor those a range counts.
    curl_slist* list = curl_slist_append(nullptr, "Accept-Encoding: identity");
    const std::string& url = transfer.response.url;
    if (!options.token.empty() && origin_of(url) == origin)
      list = curl_slist_append(list, ("Authorization: Bearer " + options.token).c_str());
    transfer.headers.reset(list);
    curl_easy_setopt(transfer.easy.get(), CURLOPT_HTTPHEADER, list);
  }

  /// Where the server sends this request, empty where the answer is final.
  [[nodiscard]] std::string redirection(const Transfer& transfer) const {
    char* url = nullptr;
    if (!is_redirection(transfer.status()) ||
        curl_easy_getinfo(transfer.easy.get(), CURLINFO_REDIRECT_URL, &url) != CURLE_OK || url == nullptr)
      return {};
    if (transfer.request.head && origin_of(url) != origin_of(transfer.response.url)) return {};
    return url;
  }

  void finish(CURL* easy, CURLcode code) {
    curl_multi_remove_handle(multi, easy);
    const auto it =
        std::find_if(transfers.begin(), transfers.end(), [&](const auto& t) { return t->easy.get() == easy; });
    Transfer& transfer = **it;
    const std::string next = code == CURLE_OK ? redirection(transfer) : std::string();
    if (!next.empty() && transfer.redirections++ < kMaxRedirections) {
      begin(transfer, next);
      return;
    }
    const std::unique_ptr<Transfer> owned = std::move(*it);
    transfers.erase(it);
    complete(*owned, code);
    if (!next.empty()) owned->response.error = "redirected in a circle";
    owned->done(std::move(owned->response));
  }

  static void complete(Transfer& transfer, CURLcode code) {
    Response& response = transfer.response;
    response.status = transfer.status();
    curl_off_t retry_after = 0;
    curl_easy_getinfo(transfer.easy.get(), CURLINFO_RETRY_AFTER, &retry_after);
    response.retry_after = retry_after;
    if (transfer.too_long) response.error = "sent more bytes than were asked for";
    else if (code != CURLE_OK)
      response.error = transfer.error[0] != '\0' ? transfer.error.data() : curl_easy_strerror(code);
  }
};

Http::Http(const HttpOptions& options) : impl_(std::make_unique<Impl>(options)) {}
Http::~Http() = default;

void Http::start(const Request& request, std::function<void(Response)> done) {
  auto transfer = std::make_unique<Transfer>();
  if (!transfer->easy) fail(Code::resource, "libcurl has no memory for another transfer");
  transfer->request = request;
  transfer->done = std::move(done);
  impl_->begin(*transfer, request.url);
  impl_->transfers.push_back(std::move(transfer));
}

void Http::run(int milliseconds) {
  int running = 0;
  curl_multi_perform(impl_->multi, &running);
  curl_multi_poll(impl_->multi, nullptr, 0, milliseconds, nullptr);
  curl_multi_perform(impl_->multi, &running);
  int left = 0;
  while (const CURLMsg* message = curl_multi_info_read(impl_->multi, &left))
    if (message->msg == CURLMSG_DONE) impl_->finish(message->easy_handle, message->data.result);
}

std::size_t Http::active() const { return impl_->transfers.size(); }

}  // namespace d2c::hub
