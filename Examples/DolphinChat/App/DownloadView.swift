import DolphinChatModels
import SwiftUI

struct DownloadView: View {
  let app: AppModel
  let failure: String?
  @AppStorage("source") private var source = ""

  var body: some View {
    Form {
      Section("Where the package lies") {
        TextField("https://example.org/Model.mlpackage", text: $source)
          .autocorrectionDisabled()
        Button("Download", action: download).disabled(address == nil)
      }
      if let failure {
        Section { Label(failure, systemImage: "exclamationmark.triangle") }
      }
    }
    .formStyle(.grouped)
  }

  private var address: URL? {
    let url = URL(string: source)
    return url?.scheme == "https" ? url : nil
  }

  private func download() {
    guard let address else { return }
    Task { await app.download(from: address) }
  }
}

struct DownloadProgressView: View {
  let app: AppModel
  let done: Int64
  let total: Int64

  var body: some View {
    VStack(spacing: 16) {
      ProgressView(value: Double(done), total: Double(max(total, 1)))
      Text("\(done.formatted(.byteCount(style: .file))) of \(total.formatted(.byteCount(style: .file)))")
        .monospacedDigit()
      Button("Cancel", role: .cancel) { app.cancelDownload() }
    }
    .padding()
  }
}
