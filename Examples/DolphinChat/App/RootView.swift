import DolphinChatModels
import SwiftUI

struct RootView: View {
  let app: AppModel

  var body: some View {
    switch app.stage {
    case .needsPackage: DownloadView(app: app, failure: nil)
    case .failed(let reason): DownloadView(app: app, failure: reason)
    case .downloading(let done, let total): DownloadProgressView(app: app, done: done, total: total)
    case .loading: ProgressView("Loading the model")
    case .ready(let chat, let notes): TalkView(chat: chat, notes: notes)
    }
  }
}

private struct TalkView: View {
  let chat: ChatModel
  let notes: NotesModel?

  var body: some View {
    TabView {
      Tab("Chat", systemImage: "bubble.left.and.bubble.right") { ChatView(chat: chat) }
      if let notes {
        Tab("Notes", systemImage: "note.text") { NotesView(notes: notes) }
      }
    }
  }
}
