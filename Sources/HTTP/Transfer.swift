internal import CCurl

/// One request on a handle, and the part of its answer that has arrived.
final class Transfer {
  private let easy: EasyHandle
  private let bytesMax: Int
  private var response = HTTPResponse()
  private var isTooLarge = false

  init(_ easy: EasyHandle, bytesMax: Int) {
    self.easy = easy
    self.bytesMax = bytesMax
  }

  func run(
    _ request: HTTPRequest, _ settings: HTTPClient.Settings
  ) throws(HTTPError) -> HTTPResponse {
    easy_reset(easy.pointer)
    try set(settings)
    try receive()
    var headers: UnsafeMutablePointer<curl_slist>?
    defer { easy_free_list(headers) }
    for header in request.headers {
      guard let longer = easy_add(headers, "\(header.name): \(header.value)") else {
        throw HTTPError(.unusable, "libcurl is out of memory")
      }
      headers = longer
    }
    try set(CURLOPT_HTTPHEADER, pointer: headers)
    try set(CURLOPT_URL, request.url)
    // libcurl wants a pointer also for an empty body.
    let body = request.body.isEmpty ? [0] : request.body
    var reason = [CChar](repeating: 0, count: Int(CURL_ERROR_SIZE))
    let code = try reason.withUnsafeMutableBufferPointer { reason in
      body.withUnsafeBytes { body in
        Result { () throws(HTTPError) in
          try set(CURLOPT_ERRORBUFFER, pointer: reason.baseAddress)
          try send(request.method, body.baseAddress, count: request.body.count)
          // The handle has pointers into this stack frame, and must not keep them.
          defer { easy_reset(easy.pointer) }
          let code = easy_perform(easy.pointer)
          response.status = easy_status(easy.pointer)
          return code
        }
      }
    }.get()
    guard code == CURLE_OK else { throw error(code, reason) }
    return response
  }

  // MARK: Options

  private func set(_ settings: HTTPClient.Settings) throws(HTTPError) {
    try set(CURLOPT_NOSIGNAL, 1)
    try set(CURLOPT_PROTOCOLS_STR, "http,https")
    try set(CURLOPT_HTTP_VERSION, Int(CURL_HTTP_VERSION_1_1))
    try set(CURLOPT_CONNECTTIMEOUT_MS, settings.connectTimeoutMillis)
    try set(CURLOPT_LOW_SPEED_LIMIT, 1)
    try set(CURLOPT_LOW_SPEED_TIME, settings.stallSecondsMax)
    try set(CURLOPT_SSL_VERIFYPEER, 1)
    try set(CURLOPT_SSL_VERIFYHOST, 2)
    if let certificates = settings.certificates { try set(CURLOPT_CAINFO, certificates) }
    guard let signing = settings.signing else { return }
    try set(CURLOPT_AWS_SIGV4, "aws:amz:\(signing.region):\(signing.service)")
    try set(CURLOPT_USERNAME, signing.accessKey)
    try set(CURLOPT_PASSWORD, signing.secretKey)
  }

  private func send(
    _ method: HTTPRequest.Method, _ body: UnsafeRawPointer?, count: Int
  ) throws(HTTPError) {
    switch method {
    case .get: return try set(CURLOPT_HTTPGET, 1)
    case .head: return try set(CURLOPT_NOBODY, 1)
    case .delete: return try set(CURLOPT_CUSTOMREQUEST, method.rawValue)
    case .put, .post: break
    }
    // To sign, libcurl hashes a body in memory.
    try check(easy_set_size(easy.pointer, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(count)))
    try set(CURLOPT_POSTFIELDS, pointer: body)
    try set(CURLOPT_CUSTOMREQUEST, method.rawValue)
  }

  private func receive() throws(HTTPError) {
    let this = Unmanaged.passUnretained(self).toOpaque()
    try set(CURLOPT_WRITEDATA, pointer: this)
    try set(CURLOPT_HEADERDATA, pointer: this)
    try check(
      easy_set_taker(easy.pointer, CURLOPT_WRITEFUNCTION) { bytes, size, count, context in
        Transfer.at(context).takeBody(UnsafeRawBufferPointer(start: bytes, count: size * count))
      })
    try check(
      easy_set_taker(easy.pointer, CURLOPT_HEADERFUNCTION) { bytes, size, count, context in
        Transfer.at(context).takeHeader(UnsafeRawBufferPointer(start: bytes, count: size * count))
      })
  }

  private static func at(_ context: UnsafeMutableRawPointer?) -> Transfer {
    guard let context else { preconditionFailure("libcurl lost the context of a callback") }
    return Unmanaged<Transfer>.fromOpaque(context).takeUnretainedValue()
  }

  private func set(_ option: CURLoption, _ value: Int) throws(HTTPError) {
    try check(easy_set_number(easy.pointer, option, value))
  }

  private func set(_ option: CURLoption, _ value: String) throws(HTTPError) {
    try check(easy_set_text(easy.pointer, option, value))
  }

  private func set(_ option: CURLoption, pointer: UnsafeRawPointer?) throws(HTTPError) {
    try check(easy_set_pointer(easy.pointer, option, pointer))
  }

  private func check(_ code: CURLcode) throws(HTTPError) {
    guard code != CURLE_OK else { return }
    throw HTTPError(.unusable, "libcurl: \(String(cString: easy_reason(code)))")
  }

  // MARK: The answer

  private func takeHeader(_ line: UnsafeRawBufferPointer) -> Int {
    let text = String(decoding: line, as: UTF8.self)
    if text.hasPrefix("HTTP/") {
      // A second answer follows an interim one.
      response.headers = [:]
    } else if let colon = text.firstIndex(of: ":") {
      let value = text[text.index(after: colon)...]
      response.headers[text[..<colon].lowercased()] = Self.trimmed(value)
    }
    return line.count
  }

  private func takeBody(_ bytes: UnsafeRawBufferPointer) -> Int {
    guard response.body.count + bytes.count <= bytesMax else {
      isTooLarge = true
      return 0
    }
    response.body.append(contentsOf: bytes)
    return bytes.count
  }

  private static func trimmed(_ text: Substring) -> String {
    var text = text.drop(while: \.isWhitespace)
    while text.last?.isWhitespace == true { text.removeLast() }
    return String(text)
  }

  private func error(_ code: CURLcode, _ reason: [CChar]) -> HTTPError {
    if isTooLarge { return HTTPError(.tooLarge, "the response has more than \(bytesMax) bytes") }
    let text = reason.prefix { $0 != 0 }.map(UInt8.init(bitPattern:))
    let said = String(decoding: text, as: UTF8.self)
    let message = said.isEmpty ? String(cString: easy_reason(code)) : said
    let kind: HTTPError.Kind =
      switch code {
      case CURLE_COULDNT_RESOLVE_HOST, CURLE_COULDNT_RESOLVE_PROXY, CURLE_COULDNT_CONNECT: .connect
      case CURLE_OPERATION_TIMEDOUT: .timeout
      case CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CONNECT_ERROR, CURLE_SSL_CACERT_BADFILE,
        CURLE_SSL_CERTPROBLEM, CURLE_SSL_CIPHER, CURLE_SSL_ISSUER_ERROR:
        .tls
      case CURLE_GOT_NOTHING, CURLE_SEND_ERROR, CURLE_RECV_ERROR, CURLE_PARTIAL_FILE,
        CURLE_HTTP2, CURLE_HTTP2_STREAM, CURLE_BAD_CONTENT_ENCODING, CURLE_WEIRD_SERVER_REPLY,
        CURLE_AGAIN, CURLE_SEND_FAIL_REWIND:
        .lost
      default: .unusable
      }
    return HTTPError(kind, message)
  }
}
