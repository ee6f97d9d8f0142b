import DolphinChatModels
import SwiftUI

#if canImport(UIKit)
  import UIKit
#endif

@main struct DolphinChatApp: App {
  private static let downloads = "org.dolphin2coreml.DolphinChat.downloads"

  @State private var app = AppModel(
    folder: .applicationSupportDirectory.appending(path: "DolphinChat"),
    transport: URLSessionTransport(backgroundIdentifier: downloads))
  @Environment(\.scenePhase) private var phase

  var body: some Scene {
    WindowGroup {
      RootView(app: app)
        .task { await app.start() }
        .task { for await _ in MemoryPressure.warnings { await app.releaseMemory() } }
    }
    .onChange(of: phase) { _, phase in
      if phase == .background { Task { await finishInBackground { await app.enterBackground() } } }
    }
  }
}

/// Asks the system for the moments that saving takes.
@MainActor private func finishInBackground(_ work: () async -> Void) async {
  #if canImport(UIKit)
    let time = UIApplication.shared.beginBackgroundTask()
    await work()
    UIApplication.shared.endBackgroundTask(time)
  #else
    await work()
  #endif
}
