import DolphinChatModels
import SwiftUI

struct ChatView: View {
  let chat: ChatModel
  @State private var draft = ""

  var body: some View {
    VStack(spacing: 0) {
      ScrollView {
        LazyVStack(spacing: 12) {
          ForEach(chat.lines) { LineView(line: $0) }
        }
        .padding()
      }
      .defaultScrollAnchor(.bottom)
      status
      HStack {
        TextField("Message", text: $draft, axis: .vertical)
          .textFieldStyle(.roundedBorder)
          .onSubmit(send)
        if chat.isAnswering {
          Button("Stop", systemImage: "stop.circle.fill", action: chat.stop)
        } else {
          Button("Send", systemImage: "arrow.up.circle.fill", action: send).disabled(draft.isEmpty)
          Button("New conversation", systemImage: "square.and.pencil") { Task { await chat.clear() } }
        }
      }
      .labelStyle(.iconOnly)
      .padding()
    }
  }

  @ViewBuilder private var status: some View {
    switch chat.state {
    case .reading(let share): ProgressView(value: share).padding(.horizontal)
    case .failed(let reason): Label(reason, systemImage: "exclamationmark.triangle").padding(.horizontal)
    case .idle where chat.tokensPerSecond > 0:
      Text("\(chat.tokensPerSecond, format: .number.precision(.fractionLength(1))) tokens/s")
        .font(.caption).foregroundStyle(.secondary)
    case .idle, .answering: EmptyView()
    }
  }

  private func send() {
    let text = draft
    draft = ""
    Task { await chat.send(text) }
  }
}

private struct LineView: View {
  let line: ChatModel.Line

  var body: some View {
    Text(line.text)
      .textSelection(.enabled)
      .padding(12)
      .background(line.role == .user ? Color.accentColor.opacity(0.2) : Color.secondary.opacity(0.12))
      .clipShape(.rect(cornerRadius: 12))
      .frame(maxWidth: .infinity, alignment: line.role == .user ? .trailing : .leading)
  }
}
